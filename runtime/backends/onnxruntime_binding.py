"""Inputs and outputs of an ONNX Runtime session in device memory, bound once for many calls."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..closeable import Closeable
from .onnxruntime_session import quiet_onnxruntime


class DeviceBinding(Closeable):
    """Memory on `device` for the inputs and outputs of a session, allocated at the first call and reused by later ones.

    One call at a time: a session that records CUDA graphs must not run concurrently. Inputs of each combination of
    shapes have memory, and a CUDA graph, of their own.
    """

    def __init__(self, onnxruntime: Any, session: Any, device: str) -> None:
        self._onnxruntime, self._session, self._device = onnxruntime, session, device
        self._bound: dict[Any, _Bound] = {}
        self._last: _Bound | None = None
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Copy `inputs` to the device, run the session, and copy `outputs` back."""
        arrays = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        key = tuple((name, array.shape, array.dtype) for name, array in arrays.items())
        with self._lock:
            known = self._bound.get(key)
            bound = known or self._bind(arrays, outputs)
            for name, array in arrays.items():
                bound.inputs[name].update_inplace(array)
            with nullcontext() if known else quiet_onnxruntime:
                self._session.run_with_iobinding(bound.binding, bound.options)
            results: list[NDArray[np.float32]] = bound.binding.copy_outputs_to_cpu()
            self._bound[key] = self._last = bound  # only after a call that succeeded
            return results

    def rerun(self) -> None:
        """Run the session again on the inputs of the last call, without any copy. Raises ValueError before a call."""
        with self._lock:
            if self._last is None:
                raise ValueError("nothing was computed yet; call `run` first")
            self._session.run_with_iobinding(self._last.binding, self._last.options)

    def close(self) -> None:
        self._bound.clear()
        self._last = self._session = None

    def _bind(self, arrays: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> _Bound:
        value = self._onnxruntime.OrtValue
        bound = _Bound(self._session.io_binding(), self._onnxruntime.RunOptions())
        bound.options.add_run_config_entry("gpu_graph_id", str(len(self._bound) + 1))  # 0 is the default, shared by all
        for name, array in arrays.items():
            bound.inputs[name] = value.ortvalue_from_numpy(array, self._device, 0)
            bound.binding.bind_ortvalue_input(name, bound.inputs[name])
        batch = next(iter(arrays.values())).shape[0]
        shapes = {output.name: output.shape for output in self._session.get_outputs()}
        for name in outputs:
            shape = [size if isinstance(size, int) else batch for size in shapes[name][:1]] + shapes[name][1:]
            if all(isinstance(size, int) for size in shape):
                # A CUDA graph writes to the address at which the output was when it was recorded.
                memory = value.ortvalue_from_shape_and_type(shape, np.float32, self._device, 0)
                bound.binding.bind_ortvalue_output(name, memory)
            else:
                bound.binding.bind_output(name, self._device, 0)
        return bound


class _Bound:
    """Binding, options and input memory for one combination of input shapes."""

    def __init__(self, binding: Any, options: Any) -> None:
        self.binding, self.options = binding, options
        self.inputs: dict[str, Any] = {}
