"""What each ingredient of the light recipe is worth: trainings that lack one of them.

    python -m amcnet.benchmarks.studies.ablation --train DAVIS --pictures DUTS --encoder NPZ --val DAVIS -o DIR

All trainings are short and of the same length, so that there can be one per ingredient; their J&F is below that of the
default, and one seed each leaves them noisy: the whole recipe is trained with two. Scored on whole sequences that no
training saw, at native resolution, with the last weights: nothing is chosen by these figures. A run that was stopped
goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...runtime.command import cli_entry_point
from ...runtime.files.atomic import replacing
from ...runtime.version import __version__
from ...training.recipe import LIGHT, SampleMix
from .davis16 import masks_score

SIZE = (256, 256)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """LIGHT with `changes`; without the pictures or without the encoders' ImageNet weights."""

    changes: dict[str, Any] = field(default_factory=dict)
    pictures: bool = True
    encoder: bool = True


VARIANTS = {
    "whole recipe": Variant(),
    "whole recipe, another seed": Variant(changes={"seed": LIGHT.seed + 1}),  # how much is chance
    "without still pictures": Variant(pictures=False),
    "without dropped streams": Variant(changes={"drop_flow": 0.0, "drop_image": 0.0}),
    "without changes of color": Variant(changes={"color_jitter": 0.0}),
    "without averaged weights": Variant(changes={"ema_decay": 0.0}),
    "without the overlap loss": Variant(changes={"iou_loss_weight": 0.0}),
    "without bent flow": Variant(changes={"perturb_flow": 0.0}),
    "one size (224) for several": Variant(changes={"sizes": (224,)}),
    "without drawn clips": Variant(
        changes={
            "start": SampleMix(davis=LIGHT.start.davis, pictures=LIGHT.start.pictures, procedural=0),
            "end": SampleMix(davis=LIGHT.end.davis, pictures=LIGHT.end.pictures, procedural=0),
        }
    ),
    "without ImageNet's encoders": Variant(encoder=False),
}


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="DAVIS to train on, eight sequences held out")
    parser.add_argument("--pictures", type=Path, required=True, help="stills with masks, as DUTS")
    parser.add_argument("--encoder", type=Path, required=True, help="ImageNet weights, .npz")
    parser.add_argument("--val", type=Path, required=True, help="DAVIS to score on")
    parser.add_argument("--iterations", type=int, default=300, help="of each training (300)")
    parser.add_argument(
        "--variants", nargs="+", choices=VARIANTS, metavar="NAME", help=f"of {', '.join(VARIANTS)} (all)"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="trainings and masks, a folder each")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    scores = {name: _score(arguments, VARIANTS[name], name) for name in arguments.variants or VARIANTS}
    print(f"\n{arguments.iterations} iterations {'':18}    J     F   J&F")
    for name, score in scores.items():
        print(f"{name:32} " + "  ".join(f"{100 * score[key]:4.1f}" for key in ("J", "F", "J&F")))
    if arguments.json:
        _add(arguments.json, str(arguments.iterations), scores)
    return 0


def _add(path: Path, iterations: str, scores: dict[str, dict[str, float]]) -> None:
    """Write the scores beside those which `path` holds of trainings of another length or of other variants."""
    earlier = json.loads(path.read_text())["variants"] if path.is_file() else {}
    variants = {name: earlier.get(name, {}) | {iterations: score} for name, score in scores.items()}
    with replacing(path) as temporary:
        report = {"amcnet": __version__, "seed": LIGHT.seed, "variants": earlier | variants}
        temporary.write_text(json.dumps(report, indent=2) + "\n")


def _score(arguments: argparse.Namespace, variant: Variant, name: str) -> dict[str, float]:
    """Train, export and score one variant, unless its score is there from an earlier run."""
    from ...export import ExportOptions, export_amcnet
    from ...training.loop import train

    folder = arguments.output / str(arguments.iterations) / name.replace(" ", "-").replace("'", "")
    result = folder / "score.json"
    if result.is_file():
        found: dict[str, float] = json.loads(result.read_text())
        return found
    folder.mkdir(parents=True, exist_ok=True)
    _share_flow(arguments.output / "flow", folder / "flow")
    train(
        replace(LIGHT, **variant.changes),
        folder,
        davis=arguments.train,
        pictures=arguments.pictures if variant.pictures else None,
        encoder=arguments.encoder if variant.encoder else None,
        iterations=arguments.iterations,
        validate_every=arguments.iterations,
        resume=True,
    )
    exported = export_amcnet(folder / "last.pth", folder, ExportOptions(fp16_weights=True), size=SIZE)
    average = masks_score(arguments.val, exported.file.path, folder / "masks").to_json()["average"]
    region, boundary = average["J"]["mean"], average["F"]["mean"]
    score = {"J": region, "F": boundary, "J&F": (region + boundary) / 2}
    with replacing(result) as path:
        path.write_text(json.dumps(score, indent=2) + "\n")
    return score


def _share_flow(common: Path, own: Path) -> None:
    """The flow of DAVIS is the same for all: computed once."""
    common.mkdir(parents=True, exist_ok=True)
    if not own.exists():
        own.symlink_to(common.resolve(), target_is_directory=True)


if __name__ == "__main__":
    sys.exit(main())
