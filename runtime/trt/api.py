"""Loading and running a plan with TensorRT 8.6, TensorRT 10 and 11, or TensorRT-RTX.

A flavor is a library with its versions: "tensorrt" is TensorRT 10 and later, "tensorrt-8" is TensorRT 8.6, which is
installed as the same module and supports older GPUs. The functions of this file use what all of them have.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .. import extras
from ..errors import BackendError, EngineError

if TYPE_CHECKING:
    from tensorrt import (
        EngineInspector,
        ICudaEngine,
        IExecutionContext,
    )
    from tensorrt import Runtime as PlainRuntime
    from tensorrt_rtx import IExecutionContext as RtxExecutionContext


MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx", "tensorrt-8": "tensorrt"}
NAMES = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX", "tensorrt-8": "TensorRT 8"}
INSTALL = {  # TensorRT 8.6.1 has bindings up to Python 3.11, and calls pip in its own installation
    "tensorrt": "pip install 'amcnet[tensorrt]'",
    "tensorrt-rtx": "pip install 'amcnet[rtx]'",
    "tensorrt-8": "pip install 'setuptools>=77' && pip install --no-build-isolation 'amcnet[tensorrt8]' (Python 3.11)",
}
OLDEST_COMPUTE_CAPABILITY = "7.5"  # supported by TensorRT 10, TensorRT 11 and TensorRT-RTX
TENSORRT8_COMPUTE_CAPABILITIES = ("5.0", "9.0")  # oldest and newest: support matrix of TensorRT 8.6.1
SLOW_FP16 = {  # refused by build-engine; arithmetic throughput in the CUDA C++ programming guide
    "5.0": "has no FP16 arithmetic",
    "5.2": "has no FP16 arithmetic",
    "6.1": "computes FP16 at 1/64 of its FP32 rate",
}
OLDEST_DRIVER_CUDA = {"tensorrt": (13, 0), "tensorrt-rtx": (13, 0), "tensorrt-8": (12, 0)}  # of the extras' wheels
OLDEST_DRIVER = {"tensorrt": "580", "tensorrt-rtx": "580", "tensorrt-8": "525"}
RTX_COMPUTE_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
SM75 = "7.5"  # not among the defaults, because its compiler lacks FP32 matrix products
RTX_DEFAULT_COMPUTE_CAPABILITIES = ("8.0", "8.6", "8.9", "12.0")
Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """An input or output of the engine; -1 in `shape` is a dynamic dimension."""

    name: str
    dtype: str
    shape: Shape


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedPlan:
    """A deserialized engine.

    inputs, outputs: in the order of the engine. log: warnings and errors of the library, appended as they occur.
    Execution contexts must be released before the plan.
    """

    flavor: str
    version: str
    engine: Any  # depends on `runtime`, which depends on `logger`; fields are released in this order
    runtime: Any
    logger: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    log: list[str]

    @property
    def last_messages(self) -> str:
        """The last three messages logged by the library."""
        return _last(self.log)


def is_installed(flavor: str) -> bool:
    """Return whether `flavor` (a key of MODULES) is installed, without importing it."""
    if importlib.util.find_spec(MODULES[flavor]) is None:
        return False
    return flavor == "tensorrt-rtx" or _is_tensorrt8(installed_version(flavor) or "") == (flavor == "tensorrt-8")


def installed_version(flavor: str) -> str | None:
    """Return the version in the metadata of the installed wheel, without importing it; None without a wheel."""
    wheel = flavor.removesuffix("-8")
    for name in (f"{wheel}-cu13", f"{wheel}-cu12", wheel):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def name_with_version(flavor: str, version: str) -> str:
    """Return such as "TensorRT 10.16.1.11"; without the 8 of the name for TensorRT 8.6.1."""
    return f"{NAMES[flavor].removesuffix(' 8')} {version}"


def load_plan(flavor: str, data: bytes, *, version_compatible: bool) -> LoadedPlan:
    """Deserialize an engine for the current GPU.

    flavor: a key of MODULES. data: the plan; plans contain code, so callers must verify its hash first (card.py).
    version_compatible: whether it was built to run with later versions of the library.
    Raises BackendError without the library, EngineError if the library rejects the plan.
    """
    trt, version = _load(flavor)
    log: list[str] = []
    logger = _logger(trt, log)
    runtime = trt.Runtime(logger)
    if version_compatible and flavor != "tensorrt-rtx":
        plain_runtime: PlainRuntime = runtime
        plain_runtime.engine_host_code_allowed = True  # such a plan contains its own lean runtime
    engine: ICudaEngine | None = runtime.deserialize_cuda_engine(data)
    if engine is None:
        raise EngineError(_last(log))
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    tensors = {
        name: Tensor(
            name=name,
            dtype=engine.get_tensor_dtype(name).name.lower(),
            shape=tuple(int(size) for size in engine.get_tensor_shape(name)),
        )
        for name in names
    }
    taken = {name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT}
    return LoadedPlan(
        flavor=flavor,
        version=version,
        engine=engine,
        runtime=runtime,
        logger=logger,
        inputs=tuple(tensor for name, tensor in tensors.items() if name in taken),
        outputs=tuple(tensor for name, tensor in tensors.items() if name not in taken),
        log=log,
    )


def make_context(plan: LoadedPlan, shapes: Mapping[str, Shape]) -> tuple[Any, dict[str, Shape]]:
    """Return an execution context for inputs of these shapes, and the shapes of its outputs. Raises EngineError."""
    engine: ICudaEngine = plan.engine
    context: IExecutionContext | None = engine.create_execution_context()
    if context is None:
        raise EngineError(f"the execution context cannot be created ({plan.last_messages})")
    for name, shape in shapes.items():
        if not context.set_input_shape(name, shape):
            raise EngineError(f"the engine rejects the shape {_times(shape)} of {name} ({plan.last_messages})")
    return context, {
        tensor.name: tuple(int(size) for size in context.get_tensor_shape(tensor.name)) for tensor in plan.outputs
    }


def bind(plan: LoadedPlan, context: IExecutionContext, name: str, address: int) -> None:
    """Set the GPU address that the context reads or writes for `name`. Raises EngineError."""
    if not context.set_tensor_address(name, address):
        raise EngineError(f"{name} cannot be bound to GPU memory ({plan.last_messages})")


def enqueue(plan: LoadedPlan, context: IExecutionContext, stream: int) -> None:
    """Enqueue one inference in a CUDA stream, without waiting for it. Raises EngineError."""
    if not context.execute_async_v3(stream):
        raise EngineError(f"the inference cannot be enqueued ({plan.last_messages})")


def can_capture(plan: LoadedPlan, context: Any, stream: int) -> bool:
    """Return whether `enqueue` can be captured in a CUDA graph after a first run, as reported by the library."""
    if plan.flavor != "tensorrt-rtx":
        return True
    rtx_context: RtxExecutionContext = context
    return bool(rtx_context.is_stream_capturable(stream))


def layer_information(plan: LoadedPlan) -> list[dict[str, Any]]:
    """Return the engine inspector's entry of each layer, as the library formats it; without details, only names."""
    trt = importlib.import_module(MODULES[plan.flavor])
    engine: ICudaEngine = plan.engine
    inspector: EngineInspector = engine.create_engine_inspector()
    layers = json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON))["Layers"]
    return [layer if isinstance(layer, dict) else {"Name": layer} for layer in layers]


def _logger(trt: ModuleType, log: list[str]) -> Any:
    base: Any = trt.ILogger
    least_severe = int(trt.ILogger.WARNING)  # the library's numbers fall with severity

    class Logger(base):  # type: ignore[misc]
        """Collects warnings and errors for the messages of EngineError."""

        def __init__(self) -> None:
            super().__init__()

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= least_severe:
                log.append(" ".join(message.split()))

    return Logger()


def _load(flavor: str) -> tuple[ModuleType, str]:
    if not extras.is_installed(MODULES[flavor]):
        raise BackendError(f"an engine needs {NAMES[flavor]}, which is not installed. Fix: {INSTALL[flavor]}")
    try:
        trt = importlib.import_module(MODULES[flavor])
    except ImportError as error:
        raise BackendError(f"{NAMES[flavor]} cannot be imported ({error}). Fix: {INSTALL[flavor]}") from error
    version = str(trt.__version__)
    if flavor == "tensorrt" and int(version.split(".")[0]) < 10:
        also = ", or use --flavor tensorrt-8" if _is_tensorrt8(version) else ""
        raise BackendError(
            f"TensorRT is too old: got {version}, expected 10 or later. Fix: pip install 'amcnet[tensorrt]'{also}"
        )
    if flavor == "tensorrt-8" and not _is_tensorrt8(version):
        raise BackendError(
            f"this TensorRT is not of version 8.6: got {version}, expected 8.6.1. Fix: in an environment of its own, "
            f"{INSTALL[flavor]}"
        )
    return trt, version


def _is_tensorrt8(version: str) -> bool:
    return version.startswith("8.6.")


def _last(log: list[str]) -> str:
    return "; ".join(log[-3:]) or "the library logged no message"


def _times(shape: Shape) -> str:
    return "x".join(str(size) for size in shape)
