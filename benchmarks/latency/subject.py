"""One file of a latency measurement, with its inputs, its cost and everything that runs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ...runtime.backends.base import Backend, NetworkFile
from ...runtime.backends.open_backend import open_backend, require_bf16
from ...runtime.backends.openvino_backend import runs_in_openvino
from ...runtime.errors import BackendError, InputError, ModelFileError
from ...runtime.files.onnx_file import OnnxFile
from ...runtime.inputs.clip_inputs import ClipInputs
from ...runtime.machine_info import available_cores, is_arm
from ...runtime.trt.card import EngineFile
from .baselines import Run, open_baselines
from .graph_cost import GraphCost, graph_cost
from .options import BenchOptions
from .progress import Report


@dataclass(frozen=True, eq=False, kw_only=True)
class Subject:
    """A file with its inputs, its cost and everything that runs it.

    `runs` by the name of the runtime: amcnet's own backend first, then the same in BF16, `bf16`, if it can compute in
    it, then the baselines.
    """

    name: str
    file: NetworkFile
    size: tuple[int, int]
    inputs: Mapping[str, NDArray[Any]]
    cost: GraphCost | None
    backend: Backend
    runs: dict[str, Run]
    not_measured: dict[str, str]
    bf16: str | None


def read_network(path: Path) -> NetworkFile:
    """Read an ONNX file or an engine. Raises ModelFileError or EngineError; a pipeline is not supported."""
    file: NetworkFile = OnnxFile.read(path) if path.suffix == ".onnx" else EngineFile.read(path)
    if file.model == "pipeline":
        raise ModelFileError(
            f"{path} is a pipeline; expected AMC-Net, PWC-Net or RAFT. Fix: measure the files of its two networks"
        )
    return file


def named(files: list[NetworkFile]) -> Iterator[tuple[str, NetworkFile]]:
    """Each file with its name, and the folder's in front where two have the same."""
    names = [file.path.name for file in files]
    for file, name in zip(files, names, strict=True):
        yield (name if names.count(name) == 1 else f"{file.path.resolve().parent.name}/{name}"), file


def open_subject(
    name: str,
    file: NetworkFile,
    clip: Path,
    options: BenchOptions,
    stack: ExitStack,
    notes: list[str],
    progress: Report,
) -> Subject:
    """Load `file` and the baselines that `options` ask for, with the first frame of `clip` as input.

    The backend is closed with `stack`. What could not be counted is added to `notes`. Raises EngineError, BackendError,
    ModelFileError or InputError.
    """
    onnx_file = OnnxFile(path=_onnx_path(file), metadata=file.metadata)
    inputs = next(iter(ClipInputs(onnx_file, [clip]))).inputs
    backend = stack.enter_context(open_backend(file, available_cores(), options.device))
    runs: dict[str, Run] = {backend.name: lambda inputs: next(iter(backend.run(inputs).values()))}
    bf16 = None
    if computes_bf16(file, options.device):
        in_bf16 = stack.enter_context(open_backend(file, available_cores(), options.device, bf16=True))
        bf16 = in_bf16.name
        runs[bf16] = lambda inputs: next(iter(in_bf16.run(inputs).values()))
    not_measured: dict[str, str] = {}
    if options.baselines and isinstance(file, OnnxFile):
        baselines, not_measured = open_baselines(
            file,
            options.checkpoint,
            inputs,
            options.device,
            limit_s=options.limit_s,
            least_runs=options.least_runs,
            progress=progress,
        )
        runs |= baselines
    try:
        if isinstance(file, EngineFile) and onnx_file.sha256() != file.card.onnx_sha256:
            raise ModelFileError(f"{onnx_file.path} is not the file that the engine was built from")
        cost = graph_cost(onnx_file.path)
    except (ImportError, OSError, ModelFileError) as error:
        notes.append(f"the FLOPs of {name} could not be counted: {error}")
        cost = None
    return Subject(
        name=name,
        file=file,
        size=file.preprocessing.size,
        inputs=inputs,
        cost=cost,
        backend=backend,
        runs=runs,
        not_measured=not_measured,
        bf16=bf16,
    )


def computes_bf16(file: NetworkFile, device: str) -> bool:
    """Whether amcnet can compute `file` in BF16 on `device`."""
    try:
        require_bf16(file, device)
    except (InputError, BackendError):
        return False
    return isinstance(file, OnnxFile) and (is_arm() or runs_in_openvino(file))


def _onnx_path(file: NetworkFile) -> Path:
    """The ONNX file itself, or the file next to an engine that it was built from."""
    return file.path if isinstance(file, OnnxFile) else file.path.with_name(file.card.onnx_name)
