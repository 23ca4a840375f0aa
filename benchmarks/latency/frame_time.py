"""Latency of whole frames, from decoding to the written mask and overlay: by stage, by thread, and the bottleneck."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.backends.base import Backend
from ...runtime.frame import SourceInfo
from ...runtime.infer import InferOptions, infer
from ...runtime.machine_info import available_cores
from ...runtime.mask_networks import TwoStreamNetwork, frames_at_once
from ...runtime.segmenter import Segmenter
from ...runtime.segmenter_plan import SegmenterPlan
from .energy import EnergyCounters
from .latency import Latency
from .machine_state import MachineWatch

_WARM_UP_FRAMES = 8  # threads start, caches fill, and the first frames have all cores to themselves
_ALL_CORES = 0.85
# The stages of each thread of `amc-infer`; the network has several threads, each with a frame of its own.
THREADS = {
    "decode": ("decode",),
    "flow": ("flow", "prepare"),
    "network": ("network", "upsample", "crf"),
    "filter": ("temporal",),
    "encode": ("write masks", "write overlay"),
}


def frame_time(
    clip: Path,
    *,
    amcnet: Path | None,
    flow: str | Path,
    frames: int,
    device: str = "cpu",
    model: str = "light",
    loaded: Mapping[str, Backend] | None = None,
) -> dict[str, Any]:
    """Run `infer` on the first `frames` frames of `clip`; returns the entry "frame" of report.json.

    amcnet: file of an AMC-Net or a pipeline, None for the bundled network `model`.
    loaded: backends by model, such as "amcnet", that have loaded the files on a GPU: they are used and left open.
    On a CPU, `infer` divides the cores in another way and loads the files itself. Raises the errors of `infer`.
    """
    loaded = loaded or {}
    is_engine = amcnet is not None and amcnet.suffix == ".engine"
    with tempfile.TemporaryDirectory() as folder:
        options = InferOptions(
            source=clip,
            output=Path(folder) / "out",
            amcnet=None if is_engine else amcnet,
            engine=amcnet if is_engine else None,
            flow=flow,
            frames=frames,
            device=device,
            model=model,
        )
        segmenter = _segmenter(options, loaded) if "amcnet" in loaded else None
        run = _timed_run(options, segmenter)
    at_once = frames_at_once(on_gpu=is_engine or device == "cuda")
    gaps = frame_gaps_ms(run.done_s, at_once)
    latency = Latency(rounds_ms=tuple(_quarters(gaps[min(_WARM_UP_FRAMES, len(gaps) // 2) :])))
    stages = run.report["latency_ms"]
    threads = thread_times({name: stage["p50"] for name, stage in stages.items()}, at_once)
    return {
        "clip": clip.name,
        "amcnet": next(iter(run.report["settings"]["files"].values()))["name"],
        "flow": Path(flow).name,
        "backend": run.report["backend"],
        "frames": run.report["frames"],
        "latency": latency.to_json(),
        "warnings": run.warnings,
        "stable": not run.warnings and not latency.warnings(),
        "frames_per_second": round(1e3 / latency.p50_ms, 2),
        "stages_ms": stages,
        "threads_ms": {name: round(value, 3) for name, value in threads.items()},
        "critical_path": max(threads, key=lambda name: threads[name]),
        "cores_busy": round(run.busy, 3),
        "joules_per_frame": run.joules_per_frame,
        "verdict": verdict(threads, run.busy, at_once),
    }


def _segmenter(options: InferOptions, loaded: Mapping[str, Backend]) -> Segmenter:
    """A Segmenter of the loaded networks."""
    plan = SegmenterPlan.make(
        options.amcnet, engine=options.engine, flow=options.flow, device=options.device, model=options.model
    )
    flow = None if plan.flow is None or plan.flow.model is None else loaded.get(plan.flow.model.model)
    return Segmenter(plan, TwoStreamNetwork(plan, loaded["amcnet"]), flow)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A run of `infer`: its report, when each frame was complete, and the share of the CPU time that it used.

    joules_per_frame: energy of the processor, without loading; None where it cannot be read.
    """

    report: dict[str, Any]
    done_s: list[float]
    joules_per_frame: float | None
    busy: float
    warnings: list[str]


def _timed_run(options: InferOptions, segmenter: Segmenter | None) -> _Run:
    counters, energy_uj = EnergyCounters.of_machine(), []
    done_s: list[float] = []

    def completed(info: SourceInfo, number: int) -> None:
        done_s.append(time.perf_counter())
        energy_uj.append(counters.read())

    cpu_begin = time.process_time()
    with MachineWatch() as watch:
        report = infer(options, completed, segmenter=segmenter)
    joules = counters.joules(energy_uj[0], energy_uj[-1])
    return _Run(
        report=report,
        done_s=done_s,
        joules_per_frame=None if joules is None else round(joules / max(len(done_s) - 1, 1), 4),
        busy=(time.process_time() - cpu_begin) / watch.seconds / available_cores(),
        warnings=watch.report()["warnings"],
    )


def frame_gaps_ms(done_s: Sequence[float], at_once: int) -> list[float]:
    """Time per frame in ms from the completion times `done_s`: the duration of `at_once` frames, divided by it.

    Frames that are processed in parallel complete almost together: the intervals between successive frames alternate
    between, for example, 20 and 1000 ms, and their median would be one of the two.
    """
    return [1e3 * (later - moment) / at_once for moment, later in zip(done_s, done_s[at_once:], strict=False)]


def _quarters(samples: list[float]) -> list[tuple[float, ...]]:
    step = max(1, len(samples) // 4)
    cuts = [samples[k * step : (k + 1) * step if k < 3 else None] for k in range(4)]
    return [tuple(cut) for cut in cuts if cut]


def thread_times(stages_ms: Mapping[str, float], at_once: int) -> dict[str, float]:
    """ms per frame of each thread: the sum of its stages, divided by `at_once` for the network."""
    threads = {thread: sum(stages_ms.get(stage, 0.0) for stage in stages) for thread, stages in THREADS.items()}
    threads["network"] /= at_once
    return threads


def verdict(threads_ms: Mapping[str, float], cores_busy: float, at_once: int) -> str:
    """The bottleneck and the effect of a faster network: the slowest thread limits, unless all cores are busy."""
    order = sorted(threads_ms, key=lambda name: -threads_ms[name])
    longest, second = order[0], order[1]
    if cores_busy >= _ALL_CORES:
        work = {name: threads_ms[name] * (at_once if name == "network" else 1) for name in threads_ms}
        share = work["network"] / sum(work.values())
        return (
            f"CPU-bound: the cores are {cores_busy:.0%} busy, so the stages compete for them; the network is "
            f"{share:.0%} of the work, so halving its time saves about {share / 2:.0%} per frame"
        )
    if longest != "network":
        return (
            f"{longest}-bound: a faster network has no effect ({longest} takes {threads_ms[longest]:.1f} ms per frame)"
        )
    return (
        f"network-bound: a faster network helps until {second} is the bottleneck "
        f"({threads_ms['network']:.1f} ms per frame, {second} {threads_ms[second]:.1f} ms)"
    )
