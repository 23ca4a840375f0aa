"""Other ways to write the loop: python -m amcnet.benchmarks.studies.peer_loops [--rounds N] [--json FILE]

The bundled network on the footage of the demo, from the file to masks and overlay, by `amc-infer` and by three programs
of the usual form: one frame after the other, in one thread of Python, with all cores for each call of a library. They
have the same network, preprocessing and drawing, and OpenCV's own threads; their flow is that of the medium preset of
DIS, on gray images reduced by area. The temporal filter is in `amc-infer` alone. All alternate, in reverse order every
other round; the ratios are medians over the rounds. Loading is not included.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from ...runtime.backends.open_backend import open_backend
from ...runtime.command import cli_entry_point
from ...runtime.extras import require
from ...runtime.files.bundled_network import bundled_network
from ...runtime.files.onnx_file import OnnxFile
from ...runtime.flow.flow_color import color_flow
from ...runtime.infer import InferOptions, infer
from ...runtime.machine_info import available_cores, processor_name
from ...runtime.output.overlay import blend
from ...runtime.output.video_encoding import H264
from ...runtime.preprocessing.resize import network_input, upsample_mask
from ...runtime.preprocessing.spec import Preprocessing
from ...runtime.segmenter import Segmenter
from ...runtime.segmenter_plan import SegmenterPlan
from ..demo import FOOTAGE
from ..latency.baselines import BASELINES
from ._whole_runs import now, per_frame_ms, study_parser, write_json

Image: TypeAlias = NDArray[np.uint8]
Network: TypeAlias = Callable[[dict[str, NDArray[np.float32]]], NDArray[np.float32]]
Loop: TypeAlias = Callable[[Path, Path], None]

OURS = "amc-infer"
_ORT_DEFAULTS = "ONNX Runtime, CPU, default options"


@cli_entry_point
def main() -> int:
    parser = study_parser(__doc__, rounds=7)
    parser.add_argument("--clip", type=Path, default=FOOTAGE, help="a video (default: the footage of the demo)")
    arguments = parser.parse_args()
    require("peer_loops", "onnxruntime", "openvino")
    results = measure(arguments.clip, arguments.rounds)
    for name, row in results["loops"].items():
        print(f"{name}: " + ", ".join(f"{key} {value:.2f}" for key, value in row.items()))
    write_json(arguments.json, results)
    return 0


def measure(clip: Path, rounds: int) -> dict[str, Any]:
    """Wall and processor ms per frame of each loop on `clip`, and its time divided by that of `amc-infer`."""
    load_before, frames = os.getloadavg()[0], _count_frames(clip)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        loops, backend = open_loops(stack)
        times, order = [], list(loops)
        for number in range(rounds + 1):
            times.append({loop: _time(loops[loop], clip, Path(name) / loop, frames) for loop in order})
            order.reverse()
            print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
        del times[0]  # warm-up
    return {
        "clip": clip.name,
        "frames": frames,
        "rounds": rounds,
        "backend": backend,
        "loops": {loop: _row(loop, times) for loop in loops},
        "load_average": [load_before, os.getloadavg()[0]],
        "machine": {"processor": processor_name(), "cores": available_cores()},
    }


def open_loops(stack: ExitStack) -> tuple[dict[str, Loop], str]:
    """Each loop: a function of a video and the folder to write to; and the library of `amc-infer`.

    The networks are loaded and closed with `stack`.
    """
    segmenter = stack.enter_context(Segmenter.load())
    plan = segmenter.plan
    same = stack.enter_context(open_backend(plan.file, available_cores(), bf16=plan.bf16))
    network = Sequential(lambda inputs: same.run(inputs)["mask"], plan)
    fp32 = OnnxFile.read(bundled_network("light", "fp32", "cpu"))
    defaults = Sequential(BASELINES["cpu"][_ORT_DEFAULTS](fp32, None), plan)
    return {
        OURS: lambda clip, folder: _ours(segmenter, clip, folder),
        "PyAV, one step after the other": lambda clip, folder: pyav_loop(network, clip, folder),
        "OpenCV's VideoCapture and VideoWriter": lambda clip, folder: opencv_loop(network, clip, folder),
        "PyAV, ONNX Runtime with default options": lambda clip, folder: pyav_loop(defaults, clip, folder),
    }, segmenter.network.name


def _ours(segmenter: Segmenter, clip: Path, folder: Path) -> None:
    infer(InferOptions(source=clip, output=folder, overwrite=True), segmenter=segmenter)


class Sequential:
    """A network with DIS flow, one frame after the other."""

    def __init__(self, network: Network, plan: SegmenterPlan) -> None:
        self._network, self._threshold = network, plan.threshold
        self._preprocessing: Preprocessing = plan.file.preprocessing

    def masks(self, frames: Iterator[Image]) -> Iterator[tuple[Image, NDArray[np.bool_]]]:
        """Each of `frames` (H, W, 3) RGB with its mask (H, W)."""
        dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        width, height = self._preprocessing.size
        flow_image = np.full((height, width, 3), 255, np.uint8)
        frame = next(frames)
        gray = self._gray(frame)
        while True:
            next_frame = next(frames, None)
            if next_frame is not None:
                next_gray = self._gray(next_frame)
                scale = np.array([frame.shape[1] / width, frame.shape[0] / height], np.float32)
                flow = np.asarray(dis.calc(gray, next_gray, None), np.float32)  # type: ignore[call-overload]
                flow_image, gray = color_flow(flow * scale), next_gray
            yield frame, self._mask(frame, flow_image)
            if next_frame is None:
                return
            frame = next_frame

    def _gray(self, frame: Image) -> Image:
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        return np.asarray(cv2.resize(gray, self._preprocessing.size, interpolation=cv2.INTER_AREA), np.uint8)

    def _mask(self, frame: Image, flow_image: Image) -> NDArray[np.bool_]:
        image, flow_input = (network_input(each, self._preprocessing) for each in (frame, flow_image))
        probability = self._network({"image": image, "flow_image": flow_input})[0, 0]
        return np.asarray(upsample_mask(probability, (frame.shape[1], frame.shape[0])) >= self._threshold)


def pyav_loop(network: Sequential, clip: Path, folder: Path) -> None:
    """PyAV decodes `clip`, and encodes the overlay as `amc-infer` does, with as many threads as x264 likes."""
    folder.mkdir(exist_ok=True)
    with av.open(str(clip)) as source, av.open(str(folder / "overlay.mp4"), "w") as container:
        video = source.streams.video[0]
        stream = container.add_stream("libx264", rate=video.average_rate, options=dict(H264.options))
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        frames = (np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in source.decode(video))
        for index, (frame, mask) in enumerate(network.masks(frames)):
            _write_mask(folder, index, mask)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(blend(frame, mask), format="rgb24")))
        container.mux(stream.encode(None))


def opencv_loop(network: Sequential, clip: Path, folder: Path) -> None:
    """OpenCV decodes `clip` and encodes the overlay, as MPEG-4 Part 2: its packages have no encoder for H.264."""
    folder.mkdir(exist_ok=True)
    capture = cv2.VideoCapture(str(clip))
    size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    code = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(folder / "overlay.mp4"), code, capture.get(cv2.CAP_PROP_FPS), size)
    try:
        for index, (frame, mask) in enumerate(network.masks(_captured(capture))):
            _write_mask(folder, index, mask)
            writer.write(cv2.cvtColor(blend(frame, mask), cv2.COLOR_RGB2BGR))
    finally:
        writer.release()
        capture.release()


def _captured(capture: cv2.VideoCapture) -> Iterator[Image]:
    while True:
        found, frame = capture.read()
        if not found:
            return
        yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)


def _write_mask(folder: Path, index: int, mask: NDArray[np.bool_]) -> None:
    (folder / "masks").mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "masks" / f"{index:05d}.png"), mask.view(np.uint8) * np.uint8(255))


def _time(run: Loop, clip: Path, folder: Path, frames: int) -> dict[str, float]:
    """Wall and processor ms per frame."""
    begin = now()
    run(clip, folder)
    return per_frame_ms(begin, frames)


def _row(loop: str, times: list[dict[str, dict[str, float]]]) -> dict[str, float]:
    ratios = [each[loop]["wall_ms"] / each[OURS]["wall_ms"] for each in times]
    return {
        **{name: round(statistics.median(each[loop][name] for each in times), 2) for name in times[0][loop]},
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
    }


def _count_frames(clip: Path) -> int:
    with av.open(str(clip)) as container:
        return sum(1 for _ in container.decode(video=0))


if __name__ == "__main__":
    sys.exit(main())
