"""A whole frame, decode to written mask and overlay: how long, in which stage, and what would make it faster."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...runtime.frame import SourceInfo
from ...runtime.infer import InferOptions, infer
from ...runtime.machine_info import available_cores
from ...runtime.mask_networks import frames_at_once
from .latency import Latency
from .machine_state import MachineWatch

_WARM_UP_FRAMES = 8  # threads start, caches fill, and the first frames have the machine to themselves
_ALL_CORES = 0.85
# What runs beside what: each of these has a thread of its own, but for the network, which works on several frames.
LANES = {
    "decode": ("decode",),
    "flow": ("flow", "prepare"),
    "network": ("network", "upsample", "crf"),
    "encode": ("write masks", "write overlay"),
}


def frame_time(
    clip: Path, *, amcnet: Path | None, flow: str | Path, frames: int, device: str = "cpu"
) -> dict[str, Any]:
    """Run `amc-infer` on the first frames of `clip`; what stands in report.json under "frame".

    Raises as `infer`.
    """
    done: list[float] = []

    def completed(info: SourceInfo, number: int) -> None:
        done.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        is_engine = amcnet is not None and amcnet.suffix == ".engine"
        options = InferOptions(
            source=clip,
            output=Path(folder) / "out",
            amcnet=None if is_engine else amcnet,
            engine=amcnet if is_engine else None,
            flow=flow,
            frames=frames,
            device=device,
        )
        cpu_begin = time.process_time()
        with MachineWatch() as watch:
            report = infer(options, completed)
        busy = (time.process_time() - cpu_begin) / watch.seconds / available_cores()
    at_once = frames_at_once(on_gpu=is_engine or device == "cuda")
    gaps = frame_gaps_ms(done, at_once)
    latency = Latency(rounds_ms=tuple(_quarters(gaps[min(_WARM_UP_FRAMES, len(gaps) // 2) :])))
    doubts = watch.report()["doubts"]
    stages = report["latency_ms"]
    lanes = lane_times({name: stage["p50"] for name, stage in stages.items()}, at_once)
    return {
        "clip": clip.name,
        "amcnet": next(iter(report["settings"]["files"].values()))["name"],
        "flow": Path(flow).name,
        "backend": report["backend"],
        "frames": report["frames"],
        "latency": latency.to_json(),
        "doubts": doubts,
        "stable": not doubts and not latency.doubts(),
        "frames_per_second": round(1e3 / latency.p50_ms, 2),
        "stages_ms": stages,
        "lanes_ms": {name: round(value, 3) for name, value in lanes.items()},
        "critical_path": max(lanes, key=lambda name: lanes[name]),
        "cores_busy": round(busy, 3),
        "verdict": verdict(lanes, busy, at_once),
    }


def frame_gaps_ms(done_s: Sequence[float], at_once: int) -> list[float]:
    """The time of each frame from the moments of completion: from one to the one `at_once` later, by that many.

    Frames that the network works on side by side are ready almost together: from one to the next it takes 20 ms, then
    1000, and the median would be either.
    """
    return [1e3 * (later - moment) / at_once for moment, later in zip(done_s, done_s[at_once:], strict=False)]


def _quarters(samples: list[float]) -> list[tuple[float, ...]]:
    step = max(1, len(samples) // 4)
    cuts = [samples[k * step : (k + 1) * step if k < 3 else None] for k in range(4)]
    return [tuple(cut) for cut in cuts if cut]


def lane_times(stages_ms: Mapping[str, float], at_once: int) -> dict[str, float]:
    """ms a frame of each lane: the sum of its stages' medians; the network's by how many frames it has at once."""
    lanes = {lane: sum(stages_ms.get(stage, 0.0) for stage in stages) for lane, stages in LANES.items()}
    lanes["network"] /= at_once
    return lanes


def verdict(lanes_ms: Mapping[str, float], cores_busy: float, at_once: int) -> str:
    """What a faster network would gain, in a sentence. The longest lane sets the pace, unless all cores are busy."""
    order = sorted(lanes_ms, key=lambda name: -lanes_ms[name])
    longest, second = order[0], order[1]
    if cores_busy >= _ALL_CORES:
        work = {name: lanes_ms[name] * (at_once if name == "network" else 1) for name in lanes_ms}
        share = work["network"] / sum(work.values())
        return (
            f"core-bound: the cores are {cores_busy:.0%} busy and every stage competes for them; the network is "
            f"{share:.0%} of the work, so one twice as fast gains about {share / 2:.0%}"
        )
    if longest != "network":
        return f"{longest}-bound: a faster engine gains nothing ({longest} {lanes_ms[longest]:.1f} ms a frame)"
    return (
        f"network-bound: a faster engine gains until {second} is next "
        f"({lanes_ms['network']:.1f} ms a frame, {second} {lanes_ms[second]:.1f})"
    )
