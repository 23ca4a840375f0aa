"""ONNX Runtime's inputs and outputs bound to memory of a device, once for many calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .closes import Closes


class DeviceBinding(Closes):
    """Inputs and outputs of one call at a time, in `device`'s memory; made at the first call, filled at later ones."""

    def __init__(self, onnxruntime: Any, session: Any, device: str) -> None:
        self._make = onnxruntime.OrtValue.ortvalue_from_numpy
        self._session = session
        self._device = device
        self._binding = session.io_binding()
        self._inputs: dict[str, Any] = {}
        self._bound: dict[str, Any] = {}  # name of an input -> shape and type that its memory is for

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """The `outputs` for `inputs`; inputs of another shape than those before them are bound anew."""
        arrays = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        wanted = {name: (array.shape, array.dtype) for name, array in arrays.items()}
        if wanted == self._bound:
            for name, array in arrays.items():
                self._inputs[name].update_inplace(array)
        else:
            self._binding.clear_binding_inputs()
            self._inputs = {name: self._make(array, self._device, 0) for name, array in arrays.items()}
            for name, value in self._inputs.items():
                self._binding.bind_ortvalue_input(name, value)
            for name in outputs:
                self._binding.bind_output(name, self._device, 0)
            self._bound = wanted
        self._session.run_with_iobinding(self._binding)
        results: list[NDArray[np.float32]] = self._binding.copy_outputs_to_cpu()
        return results

    def close(self) -> None:
        self._inputs.clear()
        self._binding = self._session = None
