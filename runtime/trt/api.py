"""TensorRT and TensorRT-RTX: loading and running a plan."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import BackendError, EngineError
from ..extras import require

if TYPE_CHECKING:
    from tensorrt import (
        EngineInspector,
        ICudaEngine,
        IExecutionContext,
    )
    from tensorrt import Runtime as PlainRuntime
    from tensorrt_rtx import IExecutionContext as RtxExecutionContext


MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
NAMES = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}
EXTRAS = {"tensorrt": "tensorrt", "tensorrt-rtx": "rtx"}  # pip install "amcnet[...]"
OLDEST_COMPUTE_CAPABILITY = "7.5"  # of all three
OLDEST_DRIVER_CUDA = (13, 0)  # of the cu13 wheels that the extras name
RTX_COMPUTE_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
SM75 = "7.5"  # built for only when it is asked for: its compiler knows less, see `_require_turing`
RTX_DEFAULT_COMPUTE_CAPABILITIES = ("8.0", "8.6", "8.9", "12.0")
Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """An input or output of the engine; -1 stands for a size that is free."""

    name: str
    dtype: str
    shape: Shape


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedPlan:
    """A deserialized engine. `log` gets the library's warnings and errors; drop contexts before this."""

    flavor: str
    version: str
    engine: Any  # what comes later is needed by what comes earlier, and dropped after it
    runtime: Any
    logger: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    log: list[str]

    @property
    def reason(self) -> str:
        """The library's last words."""
        return "; ".join(self.log[-3:]) or "no reason given"


def is_installed(flavor: str) -> bool:
    """Whether the flavor's module is there; it is not imported."""
    return importlib.util.find_spec(MODULES[flavor]) is not None


def installed_version(flavor: str) -> str | None:
    """The installed version by the wheel's own word, without importing it; None where there is no wheel."""
    for name in (f"{flavor}-cu13", f"{flavor}-cu12", flavor):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def load_plan(flavor: str, data: bytes, *, version_compatible: bool) -> LoadedPlan:
    """Deserialize an engine for the GPU that is current. Raises BackendError without the library, and EngineError.

    data: the plan. It is code: what its card does not know is not to come here (see card.py).
    """
    trt, version = _load(flavor)
    log: list[str] = []
    logger = _logger(trt, log)
    runtime = trt.Runtime(logger)
    if version_compatible and flavor == "tensorrt":
        plain_runtime: PlainRuntime = runtime
        plain_runtime.engine_host_code_allowed = True  # such an engine brings the part of the library that runs it
    engine: ICudaEngine | None = runtime.deserialize_cuda_engine(data)
    if engine is None:
        raise EngineError("; ".join(log[-3:]) or "no reason given")
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
    """An execution context for inputs of these shapes, and the shapes of its outputs. Raises EngineError."""
    engine: ICudaEngine = plan.engine
    context: IExecutionContext | None = engine.create_execution_context()
    if context is None:
        raise EngineError(f"no execution context can be made ({plan.reason})")
    for name, shape in shapes.items():
        if not context.set_input_shape(name, shape):
            raise EngineError(f"the engine does not take {name} {_times(shape)} ({plan.reason})")
    return context, {
        tensor.name: tuple(int(size) for size in context.get_tensor_shape(tensor.name)) for tensor in plan.outputs
    }


def bind(plan: LoadedPlan, context: IExecutionContext, name: str, address: int) -> None:
    """Let the context read or write `name` at this address of the GPU from now on. Raises EngineError."""
    if not context.set_tensor_address(name, address):
        raise EngineError(f"{name} cannot be bound to memory ({plan.reason})")


def enqueue(plan: LoadedPlan, context: IExecutionContext, stream: int) -> None:
    """Give the network's work to a CUDA stream and do not wait for it. Raises EngineError."""
    if not context.execute_async_v3(stream):
        raise EngineError(f"the network's work is refused ({plan.reason})")


def can_be_recorded(plan: LoadedPlan, context: Any, stream: int) -> bool:
    """Whether what `enqueue` does, once it has run, can be recorded as a CUDA graph, as far as the library says."""
    if plan.flavor != "tensorrt-rtx":
        return True
    rtx_context: RtxExecutionContext = context
    return bool(rtx_context.is_stream_capturable(stream))


def layer_information(plan: LoadedPlan) -> list[dict[str, Any]]:
    """What the engine inspector says of each layer, in the library's words; only names of an engine without details."""
    trt = importlib.import_module(MODULES[plan.flavor])
    engine: ICudaEngine = plan.engine
    inspector: EngineInspector = engine.create_engine_inspector()
    layers = json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON))["Layers"]
    return [layer if isinstance(layer, dict) else {"Name": layer} for layer in layers]


def _logger(trt: ModuleType, log: list[str]) -> Any:
    base: Any = trt.ILogger
    kept = int(trt.ILogger.WARNING)

    class Logger(base):  # type: ignore[misc]
        """Keeps warnings and errors, for the message of an error of ours."""

        def __init__(self) -> None:
            super().__init__()

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= kept:
                log.append(" ".join(message.split()))

    return Logger()


def _load(flavor: str) -> tuple[ModuleType, str]:
    require("an engine", MODULES[flavor])
    try:
        trt = importlib.import_module(MODULES[flavor])
    except ImportError as error:
        raise BackendError(
            f"{NAMES[flavor]} cannot be imported ({error}); install it with: pip install 'amcnet[{EXTRAS[flavor]}]'"
        ) from error
    version = str(trt.__version__)
    if flavor == "tensorrt" and int(version.split(".")[0]) < 10:
        raise BackendError(f"TensorRT {version} is too old; expected 10 or later: pip install 'amcnet[tensorrt]'")
    return trt, version


def _times(shape: Shape) -> str:
    return "x".join(str(size) for size in shape)
