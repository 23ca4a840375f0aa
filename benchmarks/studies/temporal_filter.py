"""Accuracy, steadiness and time of the temporal filter and of other forms of it, on held-out training sequences.

    python -m amcnet.benchmarks.studies.temporal_filter --davis DIR [--json FILE]

DIR holds DAVIS-2016 train. The sequences are those that `amc-train` holds out. The constants of the filter in
runtime/refine/temporal.py were chosen on them; the validation set is not used.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ...runtime.backends.base import Backend
from ...runtime.backends.open_backend import open_backend
from ...runtime.command import cli_entry_point
from ...runtime.files.atomic import replacing
from ...runtime.files.onnx_file import OnnxFile
from ...runtime.flow.flow import DisFlow, Motion
from ...runtime.frame import Frame
from ...runtime.machine_info import processor_name
from ...runtime.metrics.boundary import boundary_accuracy
from ...runtime.metrics.region import region_similarity
from ...runtime.opencv_state import single_threaded_opencv
from ...runtime.preprocessing.resize import network_input, upsample_mask
from ...runtime.refine.temporal import Evidence, average, backward_flow, match, warp
from ...runtime.segmenter import DEFAULT_AMCNET
from ...runtime.version import __version__
from ...runtime.video.read_image import read_image
from ...training.data import davis
from ..accuracy.bootstrap import mean_interval
from ..accuracy.protocol import read_gray
from ..accuracy.stability import temporal_stability

Flows = Sequence[NDArray[np.float32]]
UNSEEN = ("dog-agility", "mallard-water", "swing")
"""The sequences that the bundled network was not trained on; it has seen the other five of `davis.HELD_OUT`."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A form of the filter; the defaults are those of `amc-infer`.

    previous, following: use that neighbor. second_dis: flow to the previous frame by a DIS call of its own. weighted:
    weights by gray levels. recursive: the previous result in place of the previous frame's own log-odds.
    """

    previous: bool = True
    following: bool = True
    second_dis: bool = False
    weighted: bool = True
    recursive: bool = False


VARIANTS = {
    "as in amc-infer": Variant(),
    "flow to the previous frame by a second DIS call": Variant(second_dis=True),
    "equal weights": Variant(weighted=False),
    "equal weights, second DIS call, recursive": Variant(second_dis=True, weighted=False, recursive=True),
    "recursive": Variant(recursive=True),
    "previous frame only": Variant(following=False),
    "next frame only": Variant(previous=False),
}


@dataclass(frozen=True)
class Clip:
    """A sequence: `items`, one per frame; `backward`, the DIS flow t+1 -> t on the network's grid; `annotations`."""

    items: list[Evidence]
    backward: Flows
    annotations: list[NDArray[np.bool_]]


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--davis", type=Path, required=True, help="folder of DAVIS-2016 train")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    found = measure(arguments.davis)
    for name, row in found["variants"].items():
        scores, gain = row["average"], row["gain"]["J&F"]
        print(f"{name}: J&F {100 * scores['J&F']:.1f}, gain {100 * gain['mean']:+.1f}, J {100 * scores['J']:.1f}")
    if arguments.json:
        with replacing(arguments.json) as path:
            path.write_text(json.dumps(found, indent=2) + "\n")
    return 0


def measure(root: Path) -> dict[str, Any]:
    """The content of benchmarks/results/temporal.json; scores in [0, 1]."""
    file = OnnxFile.read(DEFAULT_AMCNET, "amcnet")
    sequences = davis.find_sequences(root, list(davis.HELD_OUT))
    with single_threaded_opencv, open_backend(file, threads=1, device="cpu") as backend:
        clips = {
            sequence.name: _clip(sequence, file, backend) for sequence in tqdm(sequences, unit="sequence", leave=False)
        }
        scores = {"no filter": _scores(clips, lambda clip: [item.probability for item in clip.items])}
        for name, variant in VARIANTS.items():
            scores[name] = _scores(clips, partial(filtered, variant=variant))
        times = _processor_ms(next(iter(clips.values())))
    return {
        "amcnet": __version__,
        "amcnet_sha256": file.sha256(),
        "unseen": list(UNSEEN),
        "machine": {"processor": processor_name()},
        "processor_ms_per_frame": times,
        "variants": {name: _summary(each, scores["no filter"]) for name, each in scores.items()},
    }


def filtered(clip: Clip, variant: Variant) -> list[NDArray[np.float32]]:
    """The probabilities of all frames of `clip`, filtered by `variant`; `Variant()` equals `average`."""
    results: list[Evidence] = []
    for t, item in enumerate(clip.items):
        motion = _motion(item)
        total, weights = item.log_odds, np.ones((), np.float32)
        for neighbor, flow in _neighbors(clip, results, t, variant):
            weight = match(motion.gray, warp(_motion(neighbor).gray, flow))
            if weight is not None:
                weight = weight if variant.weighted else np.ones_like(weight)
                total = total + weight * warp(neighbor.log_odds, flow)
                weights = weights + weight
        results.append(replace(item, probability=np.asarray(1 / (1 + np.exp(-total / weights)), np.float32)))
    return [result.probability for result in results]


def _neighbors(
    clip: Clip, results: Sequence[Evidence], t: int, variant: Variant
) -> Iterator[tuple[Evidence, NDArray[np.float32]]]:
    if variant.previous and t > 0:
        forward = _motion(clip.items[t - 1]).flow
        assert forward is not None
        flow = clip.backward[t - 1] if variant.second_dis else backward_flow(forward)
        yield (results if variant.recursive else clip.items)[t - 1], flow
    onward = _motion(clip.items[t]).flow
    if variant.following and onward is not None:
        yield clip.items[t + 1], onward


def _motion(item: Evidence) -> Motion:
    assert item.motion is not None
    return item.motion


def _clip(sequence: davis.Sequence, file: OnnxFile, backend: Backend) -> Clip:
    """Run the network on a sequence, as `amc-infer` does."""
    frames = [Frame(read_image(path), t, t, float(t)) for t, path in enumerate(sequence.frames)]
    size = file.preprocessing.size
    forward, backward = DisFlow(size), DisFlow(size)
    items = []
    for frame, following in pairwise(chain(frames, [None])):
        assert frame is not None
        color = forward.render(frame, following)
        inputs = {"image": network_input(frame.pixels, file.preprocessing)}
        inputs["flow_image"] = network_input(color, file.preprocessing)
        probability = backend.run(inputs)["mask"][0, 0]
        items.append(Evidence(frame, probability, forward.motion(frame, following)))
    flows = [backward.motion(later, earlier).flow for earlier, later in pairwise(frames)]
    annotations = [read_gray(path) > 0 for path in sequence.annotations]
    return Clip(items, [flow for flow in flows if flow is not None], annotations)


def _scores(
    clips: Mapping[str, Clip], method: Callable[[Clip], list[NDArray[np.float32]]]
) -> dict[str, dict[str, float]]:
    """J, F and stability of each sequence. Stability is measured on the network's grid, along the flow of DIS."""

    def score(clip: Clip) -> dict[str, float]:
        probabilities = method(clip)
        size = clip.annotations[0].shape[::-1]
        masks = [upsample_mask(probability, size) >= 0.5 for probability in probabilities]
        pairs = list(zip(masks, clip.annotations, strict=True))[1:-1]  # as the protocol of DAVIS-2016 has it
        return {
            "J": statistics.mean(region_similarity(*pair) for pair in pairs),
            "F": statistics.mean(boundary_accuracy(*pair) for pair in pairs),
            "stability": temporal_stability((p >= 0.5 for p in probabilities), clip.backward).mean,
        }

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(clips, pool.map(score, clips.values()), strict=True))


def _summary(
    scores: Mapping[str, Mapping[str, float]], unfiltered: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """The scores of each sequence, their averages, and the gain over no filter with its 95 % interval."""
    gains = {}
    for measure_name in ("J", "F", "J&F"):
        gain = np.array([_of(scores[name], measure_name) - _of(unfiltered[name], measure_name) for name in scores])
        gains[measure_name] = {"mean": round(float(gain.mean()), 4), "interval": _rounded(mean_interval(gain))}
    return {
        "sequences": {name: {key: round(value, 4) for key, value in row.items()} for name, row in scores.items()},
        "average": _average(scores, list(scores)),
        "average_unseen": _average(scores, UNSEEN),
        "gain": gains,
    }


def _average(scores: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> dict[str, float]:
    return {
        key: round(statistics.mean(_of(scores[name], key) for name in names), 4)
        for key in ("J", "F", "J&F", "stability")
    }


def _of(row: Mapping[str, float], name: str) -> float:
    return (row["J"] + row["F"]) / 2 if name == "J&F" else row[name]


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]


def _processor_ms(clip: Clip) -> dict[str, float]:
    """Median processor time per frame of the filter and of a DIS call at the network's size, each on one core."""
    triples = zip(clip.items, clip.items[1:], clip.items[2:], strict=False)
    grays = pairwise(_motion(item).gray for item in clip.items)
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return {
        "filter": _median_ms([partial(average, *triple) for triple in triples]),
        "DIS call": _median_ms([partial(dis.calc, later, earlier, None) for earlier, later in grays]),
    }


def _median_ms(calls: Sequence[Callable[[], object]]) -> float:
    times = []
    for call in calls:
        begin = time.thread_time()
        call()
        times.append(1e3 * (time.thread_time() - begin))
    return round(statistics.median(times), 2)


if __name__ == "__main__":
    sys.exit(main())
