"""TensorRT engines of AMC-Net, PWC-Net and RAFT as a backend: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..closeable import Closeable
from ..errors import ModelFileError
from ..gpu.cuda import Stream
from ..gpu.cuda_memory import PinnedBuffer
from ..trt.card import EngineFile
from ..trt.engine import Engine
from .base import check_contract, check_finite, requested_outputs
from .resource_pool import ResourcePool


class EngineBackend(Closeable):
    """An engine that several threads may run at the same time; copies of one call overlap with kernels of another."""

    def __init__(self, file: EngineFile, extra_outputs: Sequence[str] = ()) -> None:
        """Load the engine. Raises EngineError or BackendError if it cannot run on this machine, or ModelFileError.

        extra_outputs: see `open_backend`. The engine computes all its outputs; those that are not requested stay on
        the GPU.
        """
        self._file = file
        requested = requested_outputs(file, extra_outputs)
        with ExitStack() as stack:
            self.engine = stack.enter_context(Engine(file))
            self._slots = self.engine.parts.enter_context(ResourcePool(lambda: _ExecutionSlot(self.engine, requested)))
            with self.engine.on_device("cannot be run"), self._slots.take() as slot:
                check_contract(file, list(slot.inputs), slot.output_names)
                self.name = f"{self.engine.name}, {'a' if slot.graph else 'no'} CUDA graph"
            stack.pop_all()

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        with self.engine.on_device("failed"), self._slots.take() as slot:
            outputs = slot.run(self._file, inputs)
        check_finite(self._file, outputs)
        return outputs

    def close(self) -> None:
        self.engine.close()


class _ExecutionSlot(Closeable):
    """Resources of one call at a time: a stream, an execution context, and buffers bound to it.

    Upload, network and download are recorded as one CUDA graph after they have run once.
    """

    def __init__(self, engine: Engine, requested: Sequence[str]) -> None:
        with ExitStack() as stack:
            self._stream = stack.enter_context(Stream())
            self._execution = stack.enter_context(engine.execution())
            buffers = {
                name: stack.enter_context(PinnedBuffer(spec.shape, spec.dtype))
                for name, spec in self._execution.tensors.items()
            }
            self.inputs = {name: buffers[name] for name in self._execution.inputs}
            self.outputs = {name: buffers[name] for name in requested if name in buffers}
            self.output_names = list(self._execution.outputs)
            for name, buffer in buffers.items():
                self._execution.bind(name, buffer.address)
            self._work()
            self._stream.synchronize()
            self.graph = self._execution.record(self._stream, self._work)
            if self.graph is not None:
                stack.enter_context(self.graph)
            self._owned = stack.pop_all()

    def run(self, file: EngineFile, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        given = {name: (value.shape, value.dtype) for name, value in inputs.items()}
        wanted = {name: (buffer.host.shape, buffer.host.dtype) for name, buffer in self.inputs.items()}
        if given != wanted:
            raise ModelFileError(f"{file.path} takes {_listed(wanted)}; got {_listed(given)}")
        for name, value in inputs.items():
            self.inputs[name].host[...] = value
        if self.graph is not None:
            self.graph.launch(self._stream)
        else:
            self._work()
        self._stream.synchronize()
        return {name: buffer.host.astype(np.float32) for name, buffer in self.outputs.items()}

    def close(self) -> None:
        self._owned.close()

    def _work(self) -> None:
        for buffer in self.inputs.values():
            buffer.upload(self._stream)
        self._execution.enqueue(self._stream)
        for buffer in self.outputs.values():
            buffer.download(self._stream)


def _listed(tensors: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> str:
    return ", ".join(f"{name} {dtype} {shape}" for name, (shape, dtype) in tensors.items())
