"""Processor time of each stage of `amc-infer`, alone on one core, and of whole runs.

    python -m amcnet.benchmarks.studies.stage_budget [--clip FILE] [--rounds N] [--json FILE]

Each stage is called by the functions that `amc-infer` uses, one frame and one stage at a time, with the process on one
core. Whole runs have all cores. The difference between the processor time of a whole run and the sum of its stages is
the cost of running them in parallel: shared caches, threads, queues. Loading is not included. Processor time depends
less on other programs than wall time; the load of the machine is in the results. Linux only.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from ...runtime.backends.base import Backend
from ...runtime.backends.open_backend import open_backend
from ...runtime.command import cli_entry_point
from ...runtime.extras import require
from ...runtime.files.atomic import make_folder
from ...runtime.flow.flow import DisFlow
from ...runtime.frame import Frame, MaskFrame, SourceInfo
from ...runtime.infer import InferOptions, infer
from ...runtime.machine_info import available_cores, multiplies_bf16, processor_name
from ...runtime.opencv_state import single_threaded_opencv
from ...runtime.output.open_writer import open_writer
from ...runtime.output.overlay import blend
from ...runtime.output.video_writer import VideoWriter
from ...runtime.preprocessing.resize import network_input, upsample_mask
from ...runtime.preprocessing.spec import Preprocessing
from ...runtime.refine.temporal import Evidence, filter_in_time
from ...runtime.segmenter import Segmenter
from ...runtime.segmenter_plan import SegmenterPlan
from ...runtime.stage_times import StageTimes
from ...runtime.video.video_source import VideoSource
from ..demo import FOOTAGE
from ._whole_runs import now, per_frame_ms, study_parser, write_json

WRITTEN = {"masks": ("masks",), "masks and overlay": ("masks", "overlay")}


@cli_entry_point
def main() -> int:
    parser = study_parser(__doc__, rounds=5)
    parser.add_argument("--clip", type=Path, help="a video with audio (default: the footage of the demo, with a tone)")
    arguments = parser.parse_args()
    require("stage_budget", "onnxruntime", "openvino")
    with tempfile.TemporaryDirectory() as folder:
        clip = arguments.clip or add_tone(FOOTAGE, Path(folder) / FOOTAGE.name)
        results = measure(clip, arguments.rounds, Path(folder))
    for stage, ms in results["stages_ms"].items():
        print(f"{stage:<20}{ms:>8.2f}")
    for name, row in results["whole"].items():
        print(f"{name}: " + ", ".join(f"{key} {value:.3g}" for key, value in row.items()))
    write_json(arguments.json, results)
    return 0


def measure(clip: Path, rounds: int, folder: Path) -> dict[str, Any]:
    """ms per frame of the stages and of whole runs of `infer` on `clip`, medians over `rounds`. Writes to `folder`."""
    precisions = ("bf16", "int8", "fp32") if multiplies_bf16() else ("int8", "fp32")
    load_before, alone, runs = os.getloadavg()[0], [], []
    for number in range(rounds):
        with _one_core():
            alone.append(stage_times(clip, precisions, folder / f"alone-{number}"))
        runs.append(
            {
                (precision, kind): _whole_run(
                    InferOptions(
                        source=clip, output=folder / "run", precision=precision, write=WRITTEN[kind], overwrite=True
                    )
                )
                for precision in precisions
                for kind in WRITTEN
            }
        )
    stages_ms = {stage: round(statistics.median(each[stage] for each in alone), 3) for stage in alone[0]}
    return {
        "clip": clip.name,
        "rounds": rounds,
        "stages_ms": stages_ms,
        "whole": {
            f"{precision}, {kind}": _row(
                [each[precision, kind] for each in runs], sum_of_stages(stages_ms, precision, kind)
            )
            for precision, kind in runs[0]
        },
        "load_average": [load_before, os.getloadavg()[0]],
        "machine": {"processor": processor_name(), "cores": available_cores()},
    }


def stage_times(clip: Path, precisions: tuple[str, ...], folder: Path) -> dict[str, float]:
    """Mean processor ms per frame of each stage; the masks are those of the first precision. Makes `folder`."""
    make_folder(folder)
    spent = ProcessorTimes()
    with ExitStack() as stack:
        stack.enter_context(single_threaded_opencv)
        source = stack.enter_context(closing(VideoSource(str(clip))))
        plans = {name: SegmenterPlan.make(precision=name) for name in precisions}
        networks = {
            name: stack.enter_context(open_backend(plan.file, threads=1, bf16=plan.bf16))
            for name, plan in plans.items()
        }
        plan = plans[precisions[0]]
        write = _writers(folder, source.info, stack)
        evidence = _evidence(_frames(source, spent), plan.file.preprocessing, networks, spent)
        for item in filter_in_time(evidence, spent):
            height, width = item.frame.pixels.shape[:2]
            with spent("upsample"):
                m = plan.mask_frame(item.frame, upsample_mask(item.probability, (width, height)), spent)
            write(m, spent)
    times = spent.mean_ms()
    times["overlay: audio"] = times.pop("overlay: encode, audio") - times["overlay: encode"]
    return times


class ProcessorTimes(StageTimes):
    """Processor time of this process in each stage, in place of wall time."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds: dict[str, float] = {}
        self._calls: dict[str, int] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        begin = time.process_time()
        yield
        self._seconds[stage] = self._seconds.get(stage, 0.0) + time.process_time() - begin
        self._calls[stage] = self._calls.get(stage, 0) + 1

    def mean_ms(self) -> dict[str, float]:
        """By stage, in the order of their first call."""
        return {stage: 1e3 * seconds / self._calls[stage] for stage, seconds in self._seconds.items()}


def _frames(source: VideoSource, spent: ProcessorTimes) -> Iterator[Frame]:
    undecoded, index = source.frames(), 0
    while True:
        with spent("decode"):
            raw = next(undecoded, None)
        if raw is None:
            return
        with spent("convert to RGB"):
            pixels = raw.to_rgb()
        yield Frame(pixels, index=index, pts=raw.pts, pts_seconds=float(raw.pts * source.info.time_base))
        index += 1


def _evidence(
    frames: Iterator[Frame], preprocessing: Preprocessing, networks: Mapping[str, Backend], spent: ProcessorTimes
) -> Iterator[Evidence]:
    """As `TwoStreamNetwork` computes it; the probabilities are those of the first network."""
    with DisFlow(preprocessing.size) as flow:
        frame = next(frames, None)
        while frame is not None:
            next_frame = next(frames, None)
            with spent("prepare"):
                image = network_input(flow.reduced(frame), preprocessing)
                if next_frame is not None:
                    flow.reduced(next_frame)
            with spent("flow: DIS"):
                motion = flow.motion(frame, next_frame)
            with spent("flow: color"):
                flow_pixels = flow.render(frame, next_frame)  # the flow is that of `motion`, not computed again
                inputs = {"image": image, "flow_image": network_input(flow_pixels, preprocessing)}
            outputs = {}
            for name, network in networks.items():
                with spent(f"network: {name}"):
                    outputs[name] = network.run(inputs)["mask"]
            yield Evidence(frame, next(iter(outputs.values()))[0, 0], motion)
            frame = next_frame


def _writers(folder: Path, info: SourceInfo, stack: ExitStack) -> Callable[[MaskFrame, ProcessorTimes], None]:
    """A function that writes a mask and two overlays, one of them with audio."""
    drawn: NDArray[np.uint8]
    masks = stack.enter_context(open_writer("masks", folder / "masks", info))
    overlays = {
        name: stack.enter_context(VideoWriter(folder / f"{name}.mp4", each, lambda m: drawn, name="overlay"))
        for name, each in (("encode", replace(info, video=None)), ("encode, audio", info))
    }

    def write(m: MaskFrame, spent: ProcessorTimes) -> None:
        nonlocal drawn
        with spent("write masks"):
            masks.write(m)
        with spent("overlay: draw"):
            drawn = blend(m.frame.pixels, m.mask)
        for name, overlay in overlays.items():
            with spent(f"overlay: {name}"):
                overlay.write(m)

    return write


def _whole_run(options: InferOptions) -> tuple[float, float]:
    """Processor and wall ms per frame of a run with a loaded network."""
    with Segmenter.load(precision=options.precision) as segmenter:
        begin = now()
        report = infer(options, segmenter=segmenter)
        spent = per_frame_ms(begin, report["frames"])
    return spent["processor_ms"], spent["wall_ms"]


def sum_of_stages(stages_ms: dict[str, float], precision: str, kind: str) -> float:
    """Of the stages that a run with one network has."""
    left_out = {stage for stage in stages_ms if stage.startswith("network")} - {f"network: {precision}"}
    if "overlay" not in WRITTEN[kind]:
        left_out |= {stage for stage in stages_ms if stage.startswith("overlay")}
    return sum(ms for stage, ms in stages_ms.items() if stage not in left_out)


def _row(runs: list[tuple[float, float]], sum_ms: float) -> dict[str, float]:
    processor, wall = (statistics.median(values) for values in zip(*runs, strict=True))
    return {
        "sum_of_stages_ms": round(sum_ms, 3),
        "processor_ms": round(processor, 3),
        "wall_ms": round(wall, 3),
        "least_wall_ms": round(min(wall for _, wall in runs), 3),
        "excess": round(processor / sum_ms - 1, 4),
    }


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep this thread, and those that it starts, on one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def add_tone(clip: Path, path: Path) -> Path:
    """Copy the video of `clip` to `path`, with a tone as its audio (AAC, 48 kHz, stereo); return `path`."""
    rate, samples = 48_000, 1024
    with av.open(str(clip)) as source, av.open(str(path), "w") as container:
        video = source.streams.video[0]
        copy = container.add_stream_from_template(video)
        tone = container.add_stream("aac", rate=rate, layout="stereo")
        assert video.duration is not None
        assert video.time_base is not None
        for begin in range(0, round(video.duration * video.time_base * rate), samples):
            wave = 0.1 * np.sin(2 * np.pi * 440 / rate * np.arange(begin, begin + samples))
            sound = av.AudioFrame.from_ndarray(np.array([wave, wave], np.float32), format="fltp", layout="stereo")
            sound.sample_rate, sound.pts, sound.time_base = rate, begin, Fraction(1, rate)
            container.mux(tone.encode(sound))
        container.mux(tone.encode(None))
        for packet in source.demux(video):
            if packet.dts is not None:
                packet.stream = copy
                container.mux(packet)
    return path


if __name__ == "__main__":
    sys.exit(main())
