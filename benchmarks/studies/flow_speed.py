"""Time and end-point error of the sources of flow: python -m amcnet.benchmarks.studies.flow_speed DATA --raft FILE

DIS by preset, RAFT by iterations and PWC-Net, at several input sizes, on frame pairs with known flow: DATA holds
NAME_a.png, NAME_b.png and NAME_flow.npz, whose array `flow` is (H, W, 2) px with NaN where it is unknown. Frames are
resized to the input size and flow back to the frame's size, as in `amc-infer`. The error is the mean length of the
difference over the known pixels, averaged over the pairs of a data set, the part of NAME before the first "_".

Times are medians over all pairs of the processor time in one thread, without loading: processor time depends little on
the load of the machine, which is in the results. Without --pwcnet, PWC-Net has seeded weights, and no error is given.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...runtime.backends.open_backend import open_backend
from ...runtime.command import cli_entry_point
from ...runtime.errors import InputError
from ...runtime.extras import require
from ...runtime.files.onnx_file import OnnxFile
from ...runtime.flow.flow import resize_flow
from ...runtime.flow.learned_flow import flow_network_input
from ...runtime.frame import Frame
from ...runtime.machine_info import available_cores, processor_name
from ...runtime.opencv_state import single_threaded_opencv
from ...runtime.video.read_image import read_image

Size = tuple[int, int]
Compute = Callable[[Frame, Frame], NDArray[np.float32]]  # -> flow (H, W, 2) in pixels of the frames

SIZES: tuple[Size, ...] = ((256, 256), (384, 384))
ITERATIONS = (4, 6, 12)
PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}


@dataclass(frozen=True, kw_only=True)
class Method:
    """A source of flow at an input `size`; `trained` is False if its weights come from a seed."""

    name: str
    size: Size
    compute: Compute
    trained: bool = True


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two frames and their known flow (H, W, 2) px, NaN where it is unknown."""

    dataset: str
    frame: Frame
    next_frame: Frame
    flow: NDArray[np.float32]


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of frame pairs with known flow")
    parser.add_argument("--raft", type=Path, required=True, help="checkpoint of RAFT")
    parser.add_argument("--pwcnet", type=Path, help="checkpoint of PWC-Net (default: seeded weights)")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    require("flow_speed", "torch", "onnx", "onnxscript", "onnxruntime")
    pairs = read_pairs(arguments.data)
    with ExitStack() as stack:
        stack.enter_context(single_threaded_opencv)
        methods = [*dis_methods(), *_network_methods(arguments.raft, arguments.pwcnet, stack)]
        load_before = os.getloadavg()[0]
        rows = measure(methods, pairs)
    results = {
        "pairs": {dataset: sum(pair.dataset == dataset for pair in pairs) for dataset in _datasets(pairs)},
        "rows": rows,
        "load_average": [load_before, os.getloadavg()[0]],
        "machine": {"processor": processor_name(), "cores": available_cores()},
    }
    for row in rows:
        print(f"{row['method']}, {row['size'][0]}x{row['size'][1]}: {row['processor_ms']:.1f} ms, {row['error_px']}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def read_pairs(folder: Path) -> list[Pair]:
    """Read the pairs with known flow in `folder`, in the order of their names. Raises InputError if there are none."""
    pairs = []
    for path in sorted(folder.glob("*_flow.npz")):
        name = path.name.removesuffix("_flow.npz")
        if "reference" in name:  # the output of another network
            continue
        frames = [
            Frame(read_image(folder / f"{name}_{letter}.png"), index=index, pts=index, pts_seconds=0.0)
            for index, letter in enumerate("ab")
        ]
        with np.load(path) as file:
            flow = file["flow"].astype(np.float32)
        pairs.append(Pair(dataset=name.partition("_")[0], frame=frames[0], next_frame=frames[1], flow=flow))
    if not pairs:
        raise InputError(f"{folder} has no *_flow.npz; expected frame pairs with known flow")
    return pairs


def dis_methods() -> Iterator[Method]:
    """OpenCV's DIS by preset and input size, computed on gray images as in `DisFlow`."""
    for size in SIZES:
        for name, preset in PRESETS.items():
            yield Method(name=f"DIS, {name}", size=size, compute=_dis(preset, size))


def measure(methods: list[Method], pairs: list[Pair]) -> list[dict[str, Any]]:
    """Run each method on each pair, in turn: median processor time in ms, mean end-point error in px by data set."""
    times: dict[Method, list[float]] = {method: [] for method in methods}
    errors: dict[Method, dict[str, list[float]]] = {
        method: {name: [] for name in _datasets(pairs)} for method in methods
    }
    for method in methods:
        method.compute(pairs[0].frame, pairs[0].next_frame)  # warm-up
    for pair in pairs:
        for method in methods:
            begin = time.process_time()
            flow = method.compute(pair.frame, pair.next_frame)
            times[method].append(1e3 * (time.process_time() - begin))
            errors[method][pair.dataset].append(end_point_error(flow, pair.flow))
    return [
        {
            "method": method.name,
            "size": method.size,
            "processor_ms": statistics.median(times[method]),
            "error_px": {name: statistics.mean(found) for name, found in errors[method].items()}
            if method.trained
            else None,
        }
        for method in methods
    ]


def end_point_error(flow: NDArray[np.float32], known: NDArray[np.float32]) -> float:
    """Return the mean |flow - known| in px over the pixels whose flow is known; both are (H, W, 2)."""
    return float(np.nanmean(np.hypot(*np.moveaxis(flow - known, -1, 0))))


def _dis(preset: int, size: Size) -> Compute:
    dis = cv2.DISOpticalFlow.create(preset)

    def compute(frame: Frame, next_frame: Frame) -> NDArray[np.float32]:
        first, second = (
            cv2.resize(cv2.cvtColor(each.pixels, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
            for each in (frame, next_frame)
        )
        flow = dis.calc(first, second, None)  # type: ignore[call-overload]
        return resize_flow(flow, frame.pixels.shape[1::-1])

    return compute


def _network_methods(raft: Path, pwcnet: Path | None, stack: ExitStack) -> Iterator[Method]:
    """RAFT by iterations and PWC-Net, by input size, in ONNX Runtime; `stack` closes them."""
    from ...export import Seed, export_pwcnet, export_raft
    from ...models import RAFTConfig

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    for size in SIZES:
        for iterations in ITERATIONS:
            config = RAFTConfig(iterations=iterations)
            file = export_raft(raft, folder / f"{size}-{iterations}", config=config, size=size).file
            yield Method(name=f"RAFT, {iterations} iterations", size=size, compute=_network(file, stack))
        file = export_pwcnet(pwcnet or Seed(number=1), folder / str(size), size=size).file
        yield Method(name="PWC-Net", size=size, compute=_network(file, stack), trained=pwcnet is not None)


def _network(file: OnnxFile, stack: ExitStack) -> Compute:
    backend = stack.enter_context(open_backend(file, 1))
    width, height = file.preprocessing.size

    def compute(frame: Frame, next_frame: Frame) -> NDArray[np.float32]:
        inputs = [flow_network_input(each, file.preprocessing) for each in (frame, next_frame)]
        flow = backend.run(dict(zip(("frame", "next_frame"), inputs, strict=True)))["flow"][0].transpose(1, 2, 0)
        # Vectors are in pixels of the input, whatever the grid of the output.
        scale = np.array([flow.shape[1] / width, flow.shape[0] / height], np.float32)
        return resize_flow(flow * scale, frame.pixels.shape[1::-1])

    return compute


def _datasets(pairs: list[Pair]) -> list[str]:
    return sorted({pair.dataset for pair in pairs})


if __name__ == "__main__":
    sys.exit(main())
