"""Networks in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files.onnx_file import OnnxFile
from .base import check_contract, requested_outputs
from .library_backend import LibraryBackend
from .onnxruntime_binding import DeviceBinding
from .onnxruntime_session import open_session


class OnnxRuntimeBackend(LibraryBackend):
    """ONNX Runtime on the CPU, or on an NVIDIA GPU.

    `binding` is the memory on the GPU, None on the CPU.
    """

    def __init__(
        self,
        file: OnnxFile,
        threads: int,
        device: str = "cpu",
        *,
        bf16: bool = False,
        extra_outputs: Sequence[str] = (),
    ) -> None:
        """Load `file`, an AMC-Net, PWC-Net or RAFT, to compute with `threads` threads in each call of `run`.

        device: "cpu" or "cuda". bf16: matrix products in BF16, see `open_session`. extra_outputs: see `open_backend`.
        On the CPU, one inference runs here, before others run at the same time; the reason is in openvino_backend.py.
        Raises BackendError, also if the GPU cannot be used, or ModelFileError for other inputs or outputs.
        """
        super().__init__(file)
        opened = open_session(file.path, threads, device, bf16=bf16)
        self._session: Any = opened.session
        self.binding = DeviceBinding(opened.library, self._session, "cuda") if device == "cuda" else None
        inputs = {value.name: _zeros(value) for value in self._session.get_inputs()}
        check_contract(file, list(inputs), [value.name for value in self._session.get_outputs()])
        self._outputs = requested_outputs(file, extra_outputs)
        if self.binding is None:  # on the GPU, calls run one after the other
            self._infer(inputs)
        where = f"CPU, {'BF16, ' if bf16 else ''}{threads} thread{'s' if threads > 1 else ''} a frame"
        if device == "cuda":
            where = f"CUDA, {'a' if opened.records else 'no'} CUDA graph"
        self.name = f"ONNX Runtime {opened.library.__version__}, {where}"

    def _compute(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        if self.binding is not None:
            results = self.binding.run(inputs, self._outputs)
        else:
            results = self._session.run(self._outputs, dict(inputs))
        return dict(zip(self._outputs, results, strict=True))

    def _release(self) -> None:
        if self.binding is not None:
            self.binding.close()
        self._session = None


def _zeros(value: Any) -> NDArray[Any]:
    """Zeros for ONNX Runtime's description `value` of an input; each free size is 1."""
    shape = [size if isinstance(size, int) else 1 for size in value.shape]
    return np.zeros(shape, np.uint8 if value.type == "tensor(uint8)" else np.float32)
