"""Engines on the GPU: checked by their card, deserialized, and run in execution contexts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..closeable import Closeable
from ..errors import BackendError, EngineError
from ..gpu.cuda import Device, Stream, stream_handle
from ..gpu.cuda_graph import Graph
from ..gpu.cuda_memory import DeviceMemory, Shape
from .api import LoadedPlan, bind, can_capture, enqueue, layer_information, load_plan, make_context, name_with_version
from .card import EngineFile
from .check import check_card
from .machine import this_machine

_DTYPES = {
    "float": np.float32,
    "half": np.float16,
    "int64": np.int64,
    "int32": np.int32,
    "int8": np.int8,
    "uint8": np.uint8,
    "bool": np.bool_,
}


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """Shape and type of an input or output as it is bound; no size is free."""

    shape: Shape
    dtype: np.dtype[Any]


class Engine(Closeable):
    """A deserialized engine and its GPU; `execution()` makes contexts that run it.

    Resources in `parts` are closed before the engine, while the GPU is current.
    """

    def __init__(self, file: EngineFile) -> None:
        """Check and load the engine.

        Raises EngineError, before the plan is deserialized, if the machine cannot run it; BackendError.
        """
        verdict = check_card(file.path, file.card, this_machine())
        if not verdict.can_run:
            raise EngineError(verdict.sentence)
        self.file = file
        self.device = Device()
        self.parts = ExitStack()
        self._plan: LoadedPlan | None = None
        try:
            with self.on_device("cannot be loaded"):
                card = file.card
                self._plan = load_plan(card.flavor, file.take_plan(), version_compatible=card.version_compatible)
        except BaseException:
            self.close()
            raise
        self.name = (
            f"{name_with_version(file.card.flavor, self._plan.version)} on {self.device.name}, {file.card.precision}"
        )

    @property
    def plan(self) -> LoadedPlan:
        if self._plan is None:
            raise ValueError(f"{self.file.path} is closed; run it inside the `with` block that opened it")
        return self._plan

    def execution(self) -> Execution:
        """A new execution context, for one thread at a time; close it before the engine."""
        return Execution(self)

    def layers(self) -> list[dict[str, Any]]:
        """Output of the engine inspector per layer; engines/inspector.py counts precisions in it."""
        with self.on_device("cannot be inspected"):
            return layer_information(self.plan)

    @contextmanager
    def on_device(self, failed: str) -> Iterator[None]:
        """Make the GPU current for the block; errors of the block are raised with the engine's description added."""
        card, name = self.file.card, self.file.path.name
        try:
            with self.device.current():
                yield
        except (EngineError, BackendError) as error:
            if str(error).startswith(name):
                raise  # the description was added by an inner block
            library = name_with_version(card.flavor, card.version)
            built = f"built by {library} for SM {', '.join(card.compute_capability)}"
            raise type(error)(
                f"{name} ({self.file.model}, {card.precision}, {built}) {failed}: {error}; if the error remains, build "
                f"the engine again: {card.rebuild}"
            ) from error

    def close(self) -> None:
        if self._plan is not None:
            with self.device.current():
                self.parts.close()
                self._plan = None
        self.device.close()


class Execution(Closeable):
    """An execution context of an engine. Memory and streams may belong to the caller, to PyCUDA for example:

        import pycuda.autoprimaryctx  # not autoinit: engines run in the primary context, which must own the memory
        import pycuda.driver, pycuda.gpuarray

        with Engine(EngineFile.read("pipeline.engine")) as engine, engine.execution() as execution:
            memory = {name: pycuda.gpuarray.empty(s.shape, s.dtype) for name, s in execution.tensors.items()}
            for name, array in memory.items():
                execution.bind(name, array)
            memory["frame"].set(frame[None])
            memory["next_frame"].set(next_frame[None])
            stream = pycuda.driver.Stream()
            execution.enqueue(stream)
            stream.synchronize()
            mask = memory["mask"].get()[0]

    An engine with free sizes runs at the minimum shapes of its profile.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        plan, profile = engine.plan, engine.file.card.profile
        shapes = {
            tensor.name: tuple(profile[tensor.name][0]) if -1 in tensor.shape else tensor.shape
            for tensor in plan.inputs
        }
        with engine.on_device("cannot be run"):
            self._context, output_shapes = make_context(plan, shapes)
            dtypes = {tensor.name: _dtype(tensor.dtype, tensor.name) for tensor in (*plan.inputs, *plan.outputs)}
        self.inputs = {name: TensorSpec(shape=shape, dtype=dtypes[name]) for name, shape in shapes.items()}
        self.outputs = {name: TensorSpec(shape=shape, dtype=dtypes[name]) for name, shape in output_shapes.items()}

    @property
    def tensors(self) -> dict[str, TensorSpec]:
        """All inputs and outputs, which must be bound before the first run, by name."""
        return self.inputs | self.outputs

    def bind(self, name: str, memory: Any) -> None:
        """Use `memory` on the GPU for the input or output `name` in later runs; the caller keeps it alive.

        memory: see `DeviceMemory.of`. Raises BackendError for an unknown name, or memory of another shape or type.
        """
        if name not in self.tensors:
            raise BackendError(f"{self._engine.file.path.name} has no {name!r}; expected {', '.join(self.tensors)}")
        spec, given = self.tensors[name], DeviceMemory.of(memory)
        if (given.shape or spec.shape, given.dtype or spec.dtype) != (spec.shape, spec.dtype):
            raise BackendError(f"{name} is {given.dtype} {given.shape}; expected {spec.dtype} {spec.shape}")
        with self._engine.on_device("cannot be run"):
            bind(self._engine.plan, self._context, name, given.address)

    def enqueue(self, stream: Any) -> None:
        """Enqueue a run on a stream of this package or of the caller (see `stream_handle`), without waiting for it."""
        with self._engine.on_device("cannot be run"):
            enqueue(self._engine.plan, self._context, stream_handle(stream))

    def record(self, stream: Stream, work: Callable[[], None]) -> Graph | None:
        """Record `work`, which enqueues this and has run once, as a CUDA graph; None if that is not possible."""
        if not can_capture(self._engine.plan, self._context, stream.handle):
            return None
        try:
            return Graph(stream, work)
        except (BackendError, EngineError):  # for example an engine that synchronizes during its run
            return None

    def close(self) -> None:
        if self._context is not None:
            with self._engine.device.current():
                self._context = None


def _dtype(name: str, tensor: str) -> np.dtype[Any]:
    if name not in _DTYPES:
        raise EngineError(f"{tensor} is of type {name}; expected {', '.join(_DTYPES)}")
    return np.dtype(_DTYPES[name])
