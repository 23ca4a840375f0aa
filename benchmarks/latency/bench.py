"""Measure latency, whole frames and scaling of a set of files; the result is the content of report.json."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from ...runtime.backends.base import NetworkFile
from ...runtime.errors import InputError
from ...runtime.files.bundled_network import MODELS, bundled_network
from ...runtime.files.onnx_file import FLOW_MODELS
from ...runtime.trt.card import EngineFile, read_card
from ..demo_clip import write_clip
from .baselines import OTHER_PRECISION
from .environment import environment
from .frame_time import frame_time
from .gpu_stages import backend_gpu_ms
from .graph_cost import cost_json
from .latency import Latency, MeasureOptions, measure, ratio_of_rounds
from .machine_state import MachineWatch
from .measured_peaks import MeasuredPeaks, measure_peaks, reference_work
from .noise import measure_noise
from .options import BenchOptions
from .progress import Report
from .roofline import PAPER_GPU, PAPER_MS, achieved, paper_share, target
from .scaling import measure_scaling
from .subject import Subject, named, open_subject, read_network

SCHEMA = 2
REFERENCE = "reference: a matrix product"
_MAX_FRAMES, _MIN_FRAMES = 120, 12
_PEAKS_S = 4.0  # of the measurement of the peaks, and of the start of the whole-frame run


def bench(
    options: BenchOptions,
    progress: Report = lambda text, left_s=None: None,
    on_warning: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Measure the files of `options`, and return the content of report.json (see benchmarks/README.md).

    The files and their baselines alternate within each round. `progress` is called before each step, `on_warning` for a
    noisy machine before the measurement. Raises ModelFileError, EngineError, BackendError or InputError.
    """
    if options.files and options.model != MODELS[0]:
        raise InputError(f"model {options.model} was given, and files to measure. Fix: leave out --model")
    files = [read_network(path) for path in options.files or bundled_files(options.model)]
    notes: list[str] = []
    progress("measuring the noise of this machine")
    noise = measure_noise()
    if (warning := noise.warning()) is not None:
        on_warning(warning)
    with ExitStack() as stack:
        clip = options.video or stack.enter_context(_rendered_clip())
        subjects = []
        for name, file in named(files):
            progress(f"loading {name}")
            subjects.append(open_subject(name, file, clip, options, stack, notes, progress))
        if options.quick:
            workloads = 1 + sum(len(subject.runs) for subject in subjects)
            options = replace(options, measure=MeasureOptions.quick(workloads))
        with MachineWatch() as watch:
            latencies, measured_peaks = _measure(subjects, options, progress)
        if options.measure.stable_seconds is not None:
            limit = f"after {options.measure.stable_seconds:.0f} s"
            notes += [
                f"{name}: the 95 % interval of the median is wider than 2 % {limit}"
                for name, latency in latencies.items()
                if not latency.is_stable
            ]
        stability = watch.report() | {"noise": noise.to_json()}
        networks = [
            _network(subject, latencies, measured_peaks, stability["warnings"], options) for subject in subjects
        ]
        progress("measuring whole frames", _frame_s(options))
        frame = _frame(subjects, latencies, clip, options)
        amcnet = options.files[0] if options.files else None
        scaling = measure_scaling(amcnet, progress, model=options.model) if options.scaling else None
    return {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(),
        "settings": {
            "video": clip.name if options.video else "rendered clip, 854x480",
            "device": options.device,
            "measure_options": asdict(options.measure),
        },
        "notes": notes,
        "stability": stability,
        "measured_peaks": measured_peaks.to_json(),
        "paper": {"latency_ms": PAPER_MS, "gpu": PAPER_GPU, "share_of_peak": round(paper_share(), 4)},
        "reference": latencies[REFERENCE].to_json(),
        "networks": networks,
        "frame": frame,
        "scaling": scaling,
    }


def bundled_files(model: str) -> tuple[Path, ...]:
    """The files of a bundled network, FP32 first."""
    return tuple(bundled_network(model, precision, "cpu") for precision in ("fp32", "int8"))


def _measure(
    subjects: list[Subject], options: BenchOptions, progress: Report
) -> tuple[dict[str, Latency], MeasuredPeaks]:
    """Latency of the reference and of all that runs the files, by name; the peaks are measured before and after."""
    progress("measuring the peaks of this machine")
    measured_peaks = measure_peaks(options.device)
    latencies = measure(
        {REFERENCE: reference_work(options.device)}
        | {
            f"{subject.name}: {runtime}": partial(run, subject.inputs)
            for subject in subjects
            for runtime, run in subject.runs.items()
        },
        options.measure,
        progress=lambda name, left_s=None: progress(f"measuring {name}", (left_s or 0) + _PEAKS_S + _frame_s(options)),
    )
    progress("measuring the peaks of this machine again", _PEAKS_S + _frame_s(options))
    return latencies, measured_peaks.or_better(measure_peaks(options.device))


def _frame_s(options: BenchOptions) -> float:
    """Expected duration of the whole-frame run."""
    return 2 * options.measure.seconds + _PEAKS_S


def _network(
    subject: Subject,
    latencies: Mapping[str, Latency],
    measured_peaks: MeasuredPeaks,
    warnings: list[str],
    options: BenchOptions,
) -> dict[str, Any]:
    """The entry of one file in report.json; its first rows are amcnet's own backend, the others are baselines."""
    ours = latencies[f"{subject.name}: {next(iter(subject.runs))}"]
    rows = []
    for runtime in subject.runs:
        latency = latencies[f"{subject.name}: {runtime}"]
        is_baseline = latency is not ours and runtime != subject.bf16
        row: dict[str, Any] = {"runtime": runtime, "is_baseline": is_baseline, "latency": latency.to_json()}
        row["stable"] = not latency.warnings() and not warnings
        if latency is not ours:
            row["ratio_to_amcnet"] = ratio_of_rounds(latency, ours)
        # The peaks are those of options.device in the precision of the file.
        comparable = not isinstance(subject.file, EngineFile) and runtime not in {subject.bf16, *OTHER_PRECISION}
        if subject.cost is not None and comparable:
            row["achieved"] = achieved(latency.p50_ms, subject.cost, measured_peaks)
        if subject.file.model == "amcnet":
            row["target"] = target(latency.p50_ms, subject.cost, subject.size)
        rows.append(row)
    gpu_ms = backend_gpu_ms(subject.backend)
    if gpu_ms is not None:
        rows[0]["gpu_ms"] = gpu_ms
    return {
        "name": subject.name,
        "model": subject.file.model,
        "sha256": subject.file.sha256(),
        "precision": subject.file.precision,
        "trained": not subject.file.untrained,
        "size": list(subject.size),
        "rows": rows,
        "not_measured": subject.not_measured,
        "cost": None if subject.cost is None else cost_json(subject.cost),
        "fidelity": _fidelity(subject.file),
    }


def _frame(
    subjects: list[Subject], latencies: Mapping[str, Latency], clip: Path, options: BenchOptions
) -> dict[str, Any] | None:
    """Whole frames with the first AMC-Net and flow network of the files, or DIS flow; None without an AMC-Net."""
    by_model = {subject.file.model: subject for subject in reversed(subjects)}
    if "amcnet" not in by_model:
        return None
    estimate_ms = sum(latencies[f"{subject.name}: {next(iter(subject.runs))}"].p50_ms for subject in by_model.values())
    frames = min(max(round(2e3 * options.measure.seconds / estimate_ms), _MIN_FRAMES), _MAX_FRAMES)
    flow = next((by_model[model].file.path for model in FLOW_MODELS if model in by_model), "dis")
    # The precision of the bundled network is selected by its segmenter.
    amcnet = by_model["amcnet"].file.path if options.files else None
    on_gpu = options.device == "cuda" or isinstance(by_model["amcnet"].file, EngineFile)
    loaded = {model: subject.backend for model, subject in by_model.items()} if on_gpu else {}
    return frame_time(
        clip, amcnet=amcnet, flow=flow, frames=frames, device=options.device, model=options.model, loaded=loaded
    )


def _fidelity(file: NetworkFile) -> Any:
    """The accuracy on the card of an engine, or of the engine next to an ONNX file; None without a card."""
    card = file.card if isinstance(file, EngineFile) else read_card(file.path.with_suffix(".engine"))
    return None if card is None else card.accuracy


@contextmanager
def _rendered_clip() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_clip(path, _MAX_FRAMES)
        yield path
