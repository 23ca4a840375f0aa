"""Networks in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..closeable import Closeable
from ..errors import ModelFileError
from ..files.onnx_file import OnnxFile
from ..loaded_process import LoadedProcess
from .base import check_contract, check_finite, in_one_line
from .onnxruntime_binding import DeviceBinding
from .onnxruntime_session import open_session


class OnnxRuntimeBackend(Closeable):
    """ONNX Runtime on the CPU, or on an NVIDIA GPU."""

    def __init__(self, file: OnnxFile, threads: int, device: str = "cpu") -> None:
        """Load `file`, an AMC-Net or a PWC-Net, to compute with this many `threads` in each call of `run`.

        `device` is "cpu" or "cuda". `run` may be called from several threads at once; as in openvino_backend.py, one
        inference on the CPU runs here, before others run at the same time. Raises BackendError, also where the GPU was
        asked for and not got, or ModelFileError for other inputs or outputs.
        """
        opened = open_session(file.path, threads, device)
        self._session: Any = opened.session
        self._file = file
        self.binding = DeviceBinding(opened.library, self._session, "cuda") if device == "cuda" else None
        inputs = {value.name: _zeros(value) for value in self._session.get_inputs()}
        self._outputs = [value.name for value in self._session.get_outputs()]
        check_contract(file, list(inputs), self._outputs)
        self._loaded = LoadedProcess()
        if self.binding is None:  # else its calls take turns
            self._infer(inputs)
        where = f"CPU, {threads} thread{'s' if threads > 1 else ''} a frame"
        if device == "cuda":
            where = f"CUDA, {'a' if opened.records else 'no'} CUDA graph"
        self.name = f"ONNX Runtime {opened.library.__version__}, {where}"

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        if self._session is None:
            raise ValueError(f"{self._file.path} is closed; run it inside the `with` block that opened it")
        self._loaded.require()
        outputs = self._infer(inputs)
        check_finite(self._file, outputs)
        return outputs

    def close(self) -> None:
        if not self._loaded.is_this:
            return  # the library would wait for its threads
        if self.binding is not None:
            self.binding.close()
        self._session = None

    def _infer(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        try:
            results = self._compute(inputs)
        except Exception as error:
            shapes = ", ".join(f"{name} {value.dtype} {value.shape}" for name, value in inputs.items())
            raise ModelFileError(
                f"{self._file.path} cannot be run on {shapes}: {in_one_line(error)}; export it again with export-onnx"
            ) from error
        return dict(zip(self._outputs, results, strict=True))

    def _compute(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        if self.binding is not None:
            return self.binding.run(inputs, self._outputs)
        results: list[NDArray[np.float32]] = self._session.run(self._outputs, dict(inputs))
        return results


def _zeros(value: Any) -> NDArray[Any]:
    """An input for ONNX Runtime's description `value` of it, each free size 1."""
    shape = [size if isinstance(size, int) else 1 for size in value.shape]
    return np.zeros(shape, np.uint8 if value.type == "tensor(uint8)" else np.float32)
