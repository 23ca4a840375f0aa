"""Accuracy of a trained network by input size.

    python -m amcnet.benchmarks.studies.input_size --checkpoint FILE --davis DIR

J for several square inputs on the held-out sequences of the DAVIS-2016 training set, every sixth frame. The bundled
network has its 256x256 from this; the validation set is not used.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from ...runtime.command import cli_entry_point
from ...runtime.extras import require

SIZES = (224, 256, 288, 320, 384)
EVERY = 6


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="weights of amc-train")
    parser.add_argument("--davis", type=Path, required=True, help="the data set that they were trained on")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    require("input_size", "torch", "safetensors")
    scores = region_by_size(arguments.checkpoint, arguments.davis)
    for size, region in scores.items():
        print(f"{size}x{size}: J {100 * region:.1f}")
    if arguments.json:
        results = {"every_nth_frame": EVERY, "J_by_input_size": {str(size): j for size, j in scores.items()}}
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def region_by_size(checkpoint: Path, davis: Path) -> dict[int, float]:
    """Mean J in [0, 1] over the held-out sequences, for each of `SIZES`."""
    from ...models import load_amcnet
    from ...training.data.clips import Clips
    from ...training.data.davis import find_sequences, hold_out
    from ...training.validation import Scores, score_sequences

    network = load_amcnet(checkpoint)
    _, held_out = hold_out(find_sequences(davis, None))
    with tempfile.TemporaryDirectory() as flow_folder:
        samples = {}
        for sequence in held_out:
            clip = Clips([sequence], Path(flow_folder))
            samples[sequence.name] = [clip.sample(n, lambda gaps: gaps[0]) for n in range(0, len(clip.frames), EVERY)]
        scores = {size: score_sequences(network, samples, size) for size in SIZES}
        return {size: round(Scores.average(list(each.values())).region, 4) for size, each in scores.items()}


if __name__ == "__main__":
    sys.exit(main())
