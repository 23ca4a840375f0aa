"""Everything that `amc-bench` measures, as one value: what report.json holds."""

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
from ...runtime.files.onnx_file import OnnxFile
from ...runtime.inputs.clip_inputs import ClipInputs
from ...runtime.machine_info import available_cores
from ...runtime.segmenter import DEFAULT_AMCNET
from ...runtime.trt.card import EngineFile, read_card
from ..demo_clip import write_clip
from .baselines import Run, open_peers
from .environment import environment
from .frame_time import frame_time
from .gpu_stages import backend_gpu_ms
from .graph_cost import GraphCost, cost_json, graph_cost
from .latency import Latency, MeasureOptions, measure, ratio_of_rounds
from .machine_state import MachineWatch
from .measured_peaks import MeasuredPeaks, measure_ceilings, reference_work
from .roofline import PAPER_GPU, PAPER_MS, achieved, paper_share, predictions, target
from .scaling import measure_scaling

SCHEMA = 1
REFERENCE = "the machine itself: a product of matrices"
# The trained network that comes with the package, in each precision that it comes in.
EMBEDDED = tuple(sorted(DEFAULT_AMCNET.parent.glob("*.onnx"), key=lambda path: len(path.name)))
_MOST_FRAMES, _LEAST_FRAMES = 120, 12


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What to measure; each field is an option of `amc-bench`.

    files: ONNX files and engines of AMC-Net and PWC-Net; none stands for the trained ones inside. video: None stands
    for a rendered clip.
    """

    files: tuple[Path, ...] = ()
    video: Path | None = None
    peers: bool = False
    checkpoint: Path | None = None
    device: str = "cpu"
    effort: MeasureOptions = field(default_factory=MeasureOptions)
    scaling: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class _Subject:
    """A file with all that is known of it before it is measured."""

    name: str
    file: NetworkFile
    size: tuple[int, int]
    inputs: Mapping[str, NDArray[Any]]
    cost: GraphCost | None
    backend: Backend
    runs: dict[str, Run]
    absent: dict[str, str]


def bench(options: BenchOptions, progress: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Measure all that `options` asks for, one thing after the other, the files and their peers in turns.

    `progress` gets a line about each step. Raises ModelFileError, BackendError or InputError.
    """
    files = [_read(path) for path in options.files or EMBEDDED]
    notes: list[str] = []
    with ExitStack() as stack:
        clip = options.video or stack.enter_context(_rendered_clip())
        subjects = []
        for name, file in _named(files):
            progress(f"loading {name}" + (" and its peers: minutes, where they compile" if options.peers else ""))
            subjects.append(_subject(name, file, clip, options, stack, notes))
        with MachineWatch() as watch:
            progress("measuring what this machine can do at most")
            measured_peaks = measure_ceilings(options.device)
            latencies = measure(
                {REFERENCE: reference_work(options.device)}
                | {
                    f"{subject.name}: {way}": partial(run, subject.inputs)
                    for subject in subjects
                    for way, run in subject.runs.items()
                },
                options.effort,
                progress=lambda name: progress(f"measuring {name}"),
            )
            measured_peaks = measured_peaks.or_better(measure_ceilings(options.device))
        trust = watch.report()
        networks = [_network(subject, latencies, measured_peaks, trust["doubts"], options) for subject in subjects]
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
            "effort": asdict(options.effort),
        },
        "notes": notes,
        "trust": trust,
        "measured_peaks": measured_peaks.to_json(),
        "paper": {"latency_ms": PAPER_MS, "gpu": PAPER_GPU, "share_of_peak": round(paper_share(), 4)},
        "reference": latencies[REFERENCE].to_json(),
        "networks": networks,
        "frame": frame,
        "scaling": scaling,
    }


def _read(path: Path) -> NetworkFile:
    """Raises ModelFileError or EngineError, for the whole pipeline too: its parts are what is measured."""
    file: NetworkFile = OnnxFile.read(path) if path.suffix == ".onnx" else EngineFile.read(path)
    if file.model == "pipeline":
        raise ModelFileError(f"{path} is the whole pipeline; expected amcnet or pwcnet: measure these two")
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
    absent: dict[str, str] = {}
    if options.peers and isinstance(file, OnnxFile):
        peers, absent = open_peers(file, options.checkpoint, inputs, options.device)
        runs |= peers
    try:
        if isinstance(file, EngineFile) and onnx_file.sha256() != file.card.onnx_sha256:
            raise ModelFileError(f"{onnx_file.path} is not the file that it was built of")
        cost = graph_cost(onnx_file.path)
    except (ImportError, OSError, ModelFileError) as error:
        notes.append(f"the FLOPs of {name} are not counted: {error}")
        cost = None
    return _Subject(
        name=name,
        file=file,
        size=file.preprocessing.size,
        inputs=inputs,
        cost=cost,
        backend=backend,
        runs=runs,
        absent=absent,
    )


def _network(
    subject: _Subject,
    latencies: Mapping[str, Latency],
    measured_peaks: MeasuredPeaks,
    doubts: list[str],
    options: BenchOptions,
) -> dict[str, Any]:
    """What report.json holds of one file: its rows, the first of them ours, the others peers'."""
    ours = latencies[f"{subject.name}: {next(iter(subject.runs))}"]
    rows = []
    for way in subject.runs:
        latency = latencies[f"{subject.name}: {way}"]
        row: dict[str, Any] = {"way": way, "is_peer": latency is not ours, "latency": latency.to_json()}
        row["stable"] = not latency.doubts() and not doubts
        if latency is not ours:
            row["against_ours"] = ratio_of_rounds(latency, ours)
        # By the ceilings of the device: an engine's is not measured, and peers on a GPU compute in types of their own.
        comparable = not isinstance(subject.file, EngineFile) and not (row["is_peer"] and options.device == "cuda")
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
        "absent": subject.absent,
        "cost": None if subject.cost is None else cost_json(subject.cost),
        "predictions": [] if subject.cost is None else predictions(subject.cost),
        "fidelity": _fidelity(subject.file),
    }


def _frame(
    subjects: list[_Subject], latencies: Mapping[str, Latency], clip: Path, options: BenchOptions
) -> dict[str, Any] | None:
    """Whole frames with the first AMC-Net of the files, and the first PWC-Net if there is one; DIS flow otherwise."""
    by_model = {subject.file.model: subject for subject in reversed(subjects)}
    if "amcnet" not in by_model:
        return None
    estimate_ms = sum(latencies[f"{subject.name}: {next(iter(subject.runs))}"].p50_ms for subject in by_model.values())
    frames = min(max(round(2e3 * options.effort.seconds / estimate_ms), _LEAST_FRAMES), _MOST_FRAMES)
    flow = by_model["pwcnet"].file.path if "pwcnet" in by_model else "dis"
    amcnet = by_model["amcnet"].file.path if options.files else None  # the one inside chooses its precision itself
    return frame_time(clip, amcnet=amcnet, flow=flow, frames=frames, device=options.device)


def _onnx_path(file: NetworkFile) -> Path:
    """The file itself, or the one that an engine was built of, if it is still beside it."""
    return file.path if isinstance(file, OnnxFile) else file.path.with_name(file.card.onnx_name)


def _fidelity(file: NetworkFile) -> Any:
    """The accuracy on an engine's card, or on that of the engine beside an ONNX file; None where there is none."""
    card = file.card if isinstance(file, EngineFile) else read_card(file.path.with_suffix(".engine"))
    return None if card is None else card.accuracy


@contextmanager
def _rendered_clip() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_clip(path, _MOST_FRAMES)
        yield path
