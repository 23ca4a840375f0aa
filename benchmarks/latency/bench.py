"""Measure latency, whole frames and scaling of a set of files; the result is the content of report.json."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ...runtime.backends.base import Backend, NetworkFile
from ...runtime.backends.open_backend import open_backend
from ...runtime.errors import ModelFileError
from ...runtime.files.onnx_file import FLOW_MODELS, OnnxFile
from ...runtime.inputs.clip_inputs import ClipInputs
from ...runtime.machine_info import available_cores
from ...runtime.segmenter import DEFAULT_AMCNET
from ...runtime.trt.card import EngineFile, read_card
from ..demo_clip import write_clip
from .baselines import OTHER_PRECISION, Run, open_baselines
from .environment import environment
from .frame_time import frame_time
from .gpu_stages import backend_gpu_ms
from .graph_cost import GraphCost, cost_json, graph_cost
from .latency import Latency, MeasureOptions, measure, ratio_of_rounds
from .machine_state import MachineWatch
from .measured_peaks import MeasuredPeaks, measure_peaks, reference_work
from .roofline import PAPER_GPU, PAPER_MS, achieved, paper_share, target
from .scaling import measure_scaling

SCHEMA = 2
REFERENCE = "reference: a matrix product"
# The bundled network in each precision, FP32 first.
BUNDLED = tuple(sorted(DEFAULT_AMCNET.parent.glob("*.onnx"), key=lambda path: len(path.name)))
_MAX_FRAMES, _MIN_FRAMES = 120, 12


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Options of `bench`, named as those of `amc-bench`; `baselines` is `--against baselines`.

    files: ONNX files and engines of AMC-Net, PWC-Net and RAFT (default: the bundled network). video: the source of the
    input frames (default: a rendered clip). baselines: measure other libraries too. checkpoint: weights for PyTorch.
    """

    files: tuple[Path, ...] = ()
    video: Path | None = None
    baselines: bool = False
    checkpoint: Path | None = None
    device: str = "cpu"
    measure: MeasureOptions = field(default_factory=MeasureOptions)
    scaling: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class _Subject:
    """A file with its inputs, its cost and everything that runs it."""

    name: str
    file: NetworkFile
    size: tuple[int, int]
    inputs: Mapping[str, NDArray[Any]]
    cost: GraphCost | None
    backend: Backend
    runs: dict[str, Run]
    not_measured: dict[str, str]


def bench(options: BenchOptions, progress: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Measure the files of `options`, and return the content of report.json (see benchmarks/README.md).

    The files and their baselines alternate within each round. `progress` is called with a line of text before each
    step. Raises ModelFileError, EngineError, BackendError or InputError.
    """
    files = [_read(path) for path in options.files or BUNDLED]
    notes: list[str] = []
    with ExitStack() as stack:
        clip = options.video or stack.enter_context(_rendered_clip())
        subjects = []
        for name, file in _named(files):
            progress(f"loading {name}" + (" and baselines; compiling may take minutes" if options.baselines else ""))
            subjects.append(_subject(name, file, clip, options, stack, notes))
        with MachineWatch() as watch:
            latencies, measured_peaks = _measure(subjects, options, progress)
        stability = watch.report()
        networks = [
            _network(subject, latencies, measured_peaks, stability["warnings"], options) for subject in subjects
        ]
        progress("measuring whole frames")
        frame = _frame(subjects, latencies, clip, options)
        scaling = measure_scaling(options.files[0] if options.files else None, progress) if options.scaling else None
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


def _measure(
    subjects: list[_Subject], options: BenchOptions, progress: Callable[[str], None]
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
        progress=lambda name: progress(f"measuring {name}"),
    )
    return latencies, measured_peaks.or_better(measure_peaks(options.device))


def _read(path: Path) -> NetworkFile:
    """Read an ONNX file or an engine. Raises ModelFileError or EngineError; a pipeline is not supported."""
    file: NetworkFile = OnnxFile.read(path) if path.suffix == ".onnx" else EngineFile.read(path)
    if file.model == "pipeline":
        raise ModelFileError(
            f"{path} is a pipeline; expected AMC-Net, PWC-Net or RAFT. Fix: measure the files of its two networks"
        )
    return file


def _named(files: list[NetworkFile]) -> Iterator[tuple[str, NetworkFile]]:
    """Each file with its name, and the folder's in front where two have the same."""
    names = [file.path.name for file in files]
    for file, name in zip(files, names, strict=True):
        yield (name if names.count(name) == 1 else f"{file.path.resolve().parent.name}/{name}"), file


def _subject(
    name: str, file: NetworkFile, clip: Path, options: BenchOptions, stack: ExitStack, notes: list[str]
) -> _Subject:
    onnx_file = OnnxFile(path=_onnx_path(file), metadata=file.metadata)
    inputs = next(iter(ClipInputs(onnx_file, [clip]))).inputs
    backend = stack.enter_context(open_backend(file, available_cores(), options.device))
    runs: dict[str, Run] = {backend.name: lambda inputs: next(iter(backend.run(inputs).values()))}
    not_measured: dict[str, str] = {}
    if options.baselines and isinstance(file, OnnxFile):
        baselines, not_measured = open_baselines(file, options.checkpoint, inputs, options.device)
        runs |= baselines
    try:
        if isinstance(file, EngineFile) and onnx_file.sha256() != file.card.onnx_sha256:
            raise ModelFileError(f"{onnx_file.path} is not the file that the engine was built from")
        cost = graph_cost(onnx_file.path)
    except (ImportError, OSError, ModelFileError) as error:
        notes.append(f"the FLOPs of {name} could not be counted: {error}")
        cost = None
    return _Subject(
        name=name,
        file=file,
        size=file.preprocessing.size,
        inputs=inputs,
        cost=cost,
        backend=backend,
        runs=runs,
        not_measured=not_measured,
    )


def _network(
    subject: _Subject,
    latencies: Mapping[str, Latency],
    measured_peaks: MeasuredPeaks,
    warnings: list[str],
    options: BenchOptions,
) -> dict[str, Any]:
    """The entry of one file in report.json; its first row is amcnet's own backend, the others are baselines."""
    ours = latencies[f"{subject.name}: {next(iter(subject.runs))}"]
    rows = []
    for runtime in subject.runs:
        latency = latencies[f"{subject.name}: {runtime}"]
        row: dict[str, Any] = {"runtime": runtime, "is_baseline": latency is not ours, "latency": latency.to_json()}
        row["stable"] = not latency.warnings() and not warnings
        if latency is not ours:
            row["ratio_to_amcnet"] = ratio_of_rounds(latency, ours)
        # The peaks are those of options.device in the precision of the file.
        comparable = not isinstance(subject.file, EngineFile) and runtime not in OTHER_PRECISION
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
    subjects: list[_Subject], latencies: Mapping[str, Latency], clip: Path, options: BenchOptions
) -> dict[str, Any] | None:
    """Whole frames with the first AMC-Net and flow network of the files, or DIS flow; None without an AMC-Net."""
    by_model = {subject.file.model: subject for subject in reversed(subjects)}
    if "amcnet" not in by_model:
        return None
    estimate_ms = sum(latencies[f"{subject.name}: {next(iter(subject.runs))}"].p50_ms for subject in by_model.values())
    frames = min(max(round(2e3 * options.measure.seconds / estimate_ms), _MIN_FRAMES), _MAX_FRAMES)
    flow = next((by_model[model].file.path for model in FLOW_MODELS if model in by_model), "dis")
    amcnet = (
        by_model["amcnet"].file.path if options.files else None
    )  # the precision of the bundled network is selected by its segmenter
    return frame_time(clip, amcnet=amcnet, flow=flow, frames=frames, device=options.device)


def _onnx_path(file: NetworkFile) -> Path:
    """The ONNX file itself, or the file next to an engine that it was built from."""
    return file.path if isinstance(file, OnnxFile) else file.path.with_name(file.card.onnx_name)


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
