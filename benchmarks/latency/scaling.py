"""Measure scaling with the video's resolution, the batch size, the clip length and the number of parallel videos."""

from __future__ import annotations

import gc
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np

from ...runtime.backends.open_backend import open_backend
from ...runtime.files.bundled_network import bundled_network
from ...runtime.files.onnx_file import OnnxFile
from ...runtime.frame import SourceInfo
from ...runtime.infer import InferOptions, infer
from ...runtime.inputs.clip_inputs import ClipInputs
from ...runtime.machine_info import available_cores
from ..demo_clip import write_clip
from .machine_state import MachineWatch

RESOLUTIONS = ((426, 240), (640, 360), (854, 480), (1280, 720), (1920, 1080), (3840, 2160))
BATCHES = (1, 2, 4, 8, 16)
LENGTHS = (24, 48, 96, 192)
VIDEOS = (1, 2, 4)
_FRAMES = 24
_FRAMES_IN_PARALLEL = 96  # of each of several videos
_WARM_UP_FRAMES = 8  # after the first one: queued frames that are complete before the timing starts


def measure_scaling(
    amcnet: Path | None, progress: Callable[[str], None] = lambda text: None, *, model: str = "light"
) -> dict[str, Any]:
    """The entry "scaling" of report.json, for an ONNX file of AMC-Net (None: the bundled network `model`), DIS flow.

    resolutions: ms per frame of a whole run by video size. batches: ms per image by batch size, None if the file has a
    fixed batch size. lengths: peak resident memory of a run by number of frames. videos: total frames per second by the
    number of parallel videos, start-up excluded, and the seconds until all have their first frame. warnings: as of
    `MachineWatch`.
    """
    network = InferOptions(source="", output="", amcnet=amcnet, model=model, overwrite=True)
    with tempfile.TemporaryDirectory() as name, MachineWatch() as watch:
        folder = Path(name)
        write_clip(folder / "clip.mp4", max(LENGTHS))
        progress("measuring resolutions")
        resolutions = [_resolution(network, folder, size) for size in RESOLUTIONS]
        progress("measuring batches")
        batches = [_batch(network, folder / "clip.mp4", batch) for batch in BATCHES]
        progress("measuring clip lengths")
        lengths = [_length(network, folder, frames) for frames in LENGTHS]
        progress("measuring parallel videos")
        videos = [_videos(network, folder, count) for count in VIDEOS]
    warnings = watch.report()["warnings"]
    return {"resolutions": resolutions, "batches": batches, "lengths": lengths, "videos": videos, "warnings": warnings}


def _resolution(network: InferOptions, folder: Path, size: tuple[int, int]) -> dict[str, Any]:
    clip = folder / f"{size[0]}x{size[1]}.mp4"
    _resized(folder / "clip.mp4", clip, size)
    run = _run(network, clip, folder / "out", None, threading.Barrier(1))
    ms_per_frame = round(1e3 / run.frames_per_second, 2)
    return {"size": list(size), "ms_per_frame": ms_per_frame, "stages_ms": _medians(run.report)}


def _resized(source: Path, path: Path, size: tuple[int, int]) -> None:
    """Write the first frames of `source` to `path` at `size`, even width and height."""
    with av.open(str(source)) as reading, av.open(str(path), "w") as writing:
        stream = writing.add_stream("libx264", rate=24, options={"crf": "20", "preset": "ultrafast"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for index, frame in enumerate(reading.decode(video=0)):
            if index == _FRAMES:
                break
            writing.mux(stream.encode(frame.reformat(width=size[0], height=size[1], format="yuv420p")))
        writing.mux(stream.encode(None))


def _batch(network: InferOptions, clip: Path, batch: int) -> dict[str, Any]:
    file = OnnxFile.read(network.amcnet or bundled_network(network.model, "fp32", "cpu"))
    inputs = next(iter(ClipInputs(file, [clip]))).inputs
    stacked = {name: np.repeat(value, batch, axis=0) for name, value in inputs.items()}
    with open_backend(file, available_cores()) as backend:
        try:
            backend.run(stacked)
        except Exception:  # a file exported without --dynamic-batch has the batch size 1
            return {"batch": batch, "ms_per_image": None}
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            backend.run(stacked)
            times.append(time.perf_counter() - begin)
    return {"batch": batch, "ms_per_image": round(1e3 * float(np.median(times)) / batch, 3)}


def _length(network: InferOptions, folder: Path, frames: int) -> dict[str, Any]:
    """Peak resident memory of a run, sampled after each frame."""
    gc.collect()
    peak = 0

    def sample(*_: object) -> None:
        nonlocal peak
        peak = max(peak, _resident_bytes())

    report = _infer(network, folder / "clip.mp4", folder / "out", frames, sample)
    return {"frames": report["frames"], "resident_mib": round(peak / 2**20, 1)}


def _videos(network: InferOptions, folder: Path, count: int) -> dict[str, Any]:
    together = threading.Barrier(count)
    with ThreadPoolExecutor(count) as pool:
        futures = [
            pool.submit(_run, network, folder / "clip.mp4", folder / f"out{number}", _FRAMES_IN_PARALLEL, together)
            for number in range(count)
        ]
    errors = [error for future in futures if (error := future.exception())]
    # A run that fails breaks the barrier of the others: its own error comes first.
    for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
        raise error
    runs = [future.result() for future in futures]
    return {
        "videos": count,
        "frames_per_second": round(sum(run.frames_per_second for run in runs), 2),
        "startup_seconds": round(max(run.startup_seconds for run in runs), 2),
    }


@dataclass(frozen=True, kw_only=True)
class _Run:
    """The report of `infer`, its steady frame rate, and the seconds until its first frame was complete."""

    report: dict[str, Any]
    frames_per_second: float
    startup_seconds: float


def _run(network: InferOptions, clip: Path, output: Path, frames: int | None, together: threading.Barrier) -> _Run:
    """One run. After its first frame it waits at the barrier `together`, since loading times differ."""
    done_s: list[float] = []

    def completed(info: SourceInfo, number: int) -> None:
        done_s.append(time.perf_counter())
        if number == 1:
            together.wait()

    begin_s = time.perf_counter()
    try:
        report = _infer(network, clip, output, frames, completed)
    except BaseException:
        together.abort()
        raise
    return _Run(report=report, frames_per_second=steady_rate(done_s), startup_seconds=done_s[0] - begin_s)


def steady_rate(done_s: Sequence[float]) -> float:
    """Frames per second from the completion times `done_s`, without the warm-up frames."""
    first = min(_WARM_UP_FRAMES, (len(done_s) - 1) // 2)
    return (len(done_s) - 1 - first) / (done_s[-1] - done_s[first])


def _infer(
    network: InferOptions,
    clip: Path,
    output: Path,
    frames: int | None = None,
    progress: Callable[..., None] = lambda *_: None,
) -> dict[str, Any]:
    return infer(replace(network, source=clip, output=output, frames=frames), progress)


def _medians(report: dict[str, Any]) -> dict[str, float]:
    return {stage: values["p50"] for stage, values in report["latency_ms"].items()}


def _resident_bytes() -> int:
    """Resident memory of this process; 0 if the system does not report it."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except (OSError, ValueError, IndexError):
        return 0
