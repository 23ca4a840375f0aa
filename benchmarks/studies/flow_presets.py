"""Accuracy of the bundled network by the preset and grid of DIS, and the time of each: --davis DIR [--json FILE]

    python -m amcnet.benchmarks.studies.flow_presets --davis DAVIS_TRAIN

J and F over the held-out sequences of the DAVIS-2016 training set, with the temporal filter, as `amc-infer` computes
them but for the flow: DIS runs on another grid or with another preset, and its flow is resized to the network's grid.
Differences are to the first setting, with 95 % intervals from a bootstrap over the sequences. Times are medians of the
processor time per frame of the demo footage (854x480): gray image, DIS and the resizing of the flow.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...runtime.backends.base import Backend
from ...runtime.backends.open_backend import open_backend
from ...runtime.command import cli_entry_point
from ...runtime.extras import require
from ...runtime.flow.flow import DESCENT_STEPS, REFINEMENTS, Motion, resize_flow
from ...runtime.flow.flow_color import color_flow
from ...runtime.frame import Frame
from ...runtime.machine_info import processor_name
from ...runtime.metrics.boundary import boundary_accuracy
from ...runtime.metrics.region import region_similarity
from ...runtime.opencv_state import single_threaded_opencv
from ...runtime.output.mask_files import read_gray
from ...runtime.preprocessing.resize import network_input, reduce_image, upsample_mask
from ...runtime.preprocessing.spec import Preprocessing
from ...runtime.refine.temporal import Evidence, filter_in_time
from ...runtime.segmenter_plan import SegmenterPlan
from ...runtime.stage_times import StageTimes
from ...runtime.video.read_image import read_image
from ...runtime.video.reader import open_frames
from ...training.data import davis
from ..accuracy.bootstrap import mean_interval
from ..demo import FOOTAGE
from .flow_speed import PRESETS

_TIMED_FRAMES = 40


@dataclass(frozen=True)
class Setting:
    """A preset of DIS, the grid (width, height) that it runs on, and what is changed in the preset, where anything is.

    stride: pixels between patches. iterations: steps of the gradient descent of a patch. refinements: fixed-point
    iterations of the variational refinement at each scale. Medium has 3, 25 and 5, fast 4, 16 and 5, ultrafast 4, 12
    and 0; and medium ends at half of the grid's resolution, the others at a quarter.
    """

    preset: str
    grid: tuple[int, int]
    changes: tuple[int, int, int] | None = None

    @property
    def name(self) -> str:
        changes = "" if self.changes is None else ", stride {}, {} iterations, {} refinements".format(*self.changes)
        return f"{self.preset}, {self.grid[0]}x{self.grid[1]}{changes}"

    def open(self) -> cv2.DISOpticalFlow:
        dis = cv2.DISOpticalFlow.create(PRESETS[self.preset])
        if self.changes is not None:
            stride, iterations, refinements = self.changes
            dis.setPatchStride(stride)
            dis.setGradientDescentIterations(iterations)
            dis.setVariationalRefinementIterations(refinements)
        return dis


SETTINGS = (
    Setting("medium", (256, 256)),
    Setting("medium", (256, 256), (3, DESCENT_STEPS, REFINEMENTS)),  # of `DisFlow`
    Setting("medium", (256, 256), (3, 8, 2)),
    Setting("medium", (256, 256), (3, 12, 1)),
    Setting("medium", (256, 256), (4, 12, 2)),
    Setting("medium", (256, 144)),
    Setting("medium", (192, 192)),
    Setting("medium", (384, 384)),
    Setting("fast", (256, 256)),
    Setting("fast", (384, 384)),
    Setting("fast", (384, 224)),
)


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--davis", type=Path, required=True, help="folder of DAVIS-2016 train")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    require("flow_presets", "onnxruntime")
    plan = SegmenterPlan.make()
    sequences = davis.find_sequences(arguments.davis, list(davis.HELD_OUT))
    scores: dict[str, dict[str, dict[str, float]]] = {}
    with single_threaded_opencv, open_backend(plan.file, threads=1, bf16=plan.bf16) as network:
        for setting in SETTINGS:
            scores[setting.name] = {
                sequence.name: score(setting, sequence, plan.file.preprocessing, network) for sequence in sequences
            }
            row = summary(scores[setting.name], scores[SETTINGS[0].name])
            print(f"{setting.name}: {row['average']}, difference {row['difference']}", flush=True)
        times = times_ms(plan.file.preprocessing.size)
    results = {
        "amcnet_sha256": plan.file.sha256(),
        "precision": plan.precision,
        "settings": {
            name: {"processor_ms": times[name]} | summary(each, scores[SETTINGS[0].name])
            for name, each in scores.items()
        },
        "machine": {"processor": processor_name()},
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def score(
    setting: Setting, sequence: davis.Sequence, preprocessing: Preprocessing, network: Backend
) -> dict[str, float]:
    """Mean J and F of a sequence, without its first and last frame, as the protocol of DAVIS-2016 has it."""
    frames = [Frame(read_image(path), t, t, float(t)) for t, path in enumerate(sequence.frames)]
    evidence = _evidence(frames, list(flows(setting, frames, preprocessing.size)), preprocessing, network)
    scores = []
    for item, path in zip(filter_in_time(evidence, StageTimes()), sequence.annotations, strict=True):
        annotation = read_gray(path) > 0
        mask = upsample_mask(item.probability, annotation.shape[::-1]) >= 0.5
        scores.append((region_similarity(mask, annotation), boundary_accuracy(mask, annotation)))
    region, boundary = np.mean(scores[1:-1], axis=0)
    return {"J": float(region), "F": float(boundary), "J&F": float(region + boundary) / 2}


def flows(setting: Setting, frames: Sequence[Frame], size: tuple[int, int]) -> Iterator[NDArray[np.float32]]:
    """Flow (h, w, 2) float32 between successive `frames`, in pixels of the network's grid of `size` (w, h)."""
    dis = setting.open()
    for first, second in pairwise(_gray(frame, setting.grid) for frame in frames):
        flow = np.asarray(dis.calc(first, second, None), np.float32)  # type: ignore[call-overload]
        yield flow if setting.grid == size else resize_flow(flow, size)


def _evidence(
    frames: Sequence[Frame], forward: Sequence[NDArray[np.float32]], preprocessing: Preprocessing, network: Backend
) -> Iterator[Evidence]:
    size = preprocessing.size
    for frame, flow in zip(frames, [*forward, None], strict=True):
        if flow is not None:  # the last frame has the flow image of the pair before it
            scale = np.array([frame.pixels.shape[1] / size[0], frame.pixels.shape[0] / size[1]], np.float32)
            flow_pixels = color_flow(flow * scale)
        inputs = {"image": frame.pixels, "flow_image": flow_pixels}
        outputs = network.run({name: network_input(pixels, preprocessing) for name, pixels in inputs.items()})
        yield Evidence(frame, outputs["mask"][0, 0], Motion(_gray(frame, size), flow))


def _gray(frame: Frame, size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(reduce_image(frame.pixels, size), cv2.COLOR_RGB2GRAY), np.uint8)


def summary(scores: Mapping[str, Mapping[str, float]], reference: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The average of the scores, and the difference of J&F to `reference` with its 95 % interval."""
    difference = [scores[name]["J&F"] - reference[name]["J&F"] for name in scores]
    lower, upper = mean_interval(difference)
    return {
        "average": {key: round(statistics.mean(row[key] for row in scores.values()), 4) for key in ("J", "F", "J&F")},
        "difference": {
            "mean": round(statistics.mean(difference), 4),
            "interval": [round(lower, 4), round(upper, 4)],
        },
    }


def times_ms(size: tuple[int, int]) -> dict[str, float]:
    """Median processor ms per frame of each setting, in turns."""
    with open_frames(FOOTAGE, frames=_TIMED_FRAMES) as reader:
        frames = list(reader)
    running = {setting.name: flows(setting, frames, size) for setting in SETTINGS}
    spent: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(_TIMED_FRAMES - 1):
        for name, flow in running.items():
            begin = time.process_time()
            next(flow)
            spent[name].append(1e3 * (time.process_time() - begin))
    return {name: round(statistics.median(each), 3) for name, each in spent.items()}


if __name__ == "__main__":
    sys.exit(main())
