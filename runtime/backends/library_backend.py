"""Common part of the backends for ONNX files: closed and forked use, error messages, checks of the outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..closeable import Closeable
from ..errors import ModelFileError
from ..files.onnx_file import OnnxFile
from ..loaded_process import LoadedProcess
from .base import check_finite, in_one_line


class LibraryBackend(Closeable, ABC):
    """An ONNX file in an inference library; a subclass loads it in its constructor."""

    name: str

    def __init__(self, file: OnnxFile) -> None:
        self._file = file
        self._loaded = LoadedProcess()
        self._is_open = True

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """See `Backend.run`. May be called from several threads at once."""
        if not self._is_open:
            raise ValueError(f"{self._file.path} is closed; run it inside the `with` block that opened it")
        self._loaded.require()
        outputs = self._infer(inputs)
        check_finite(self._file, outputs)
        return outputs

    def close(self) -> None:
        if self._loaded.is_this:  # in a forked child, the library would wait for its threads
            self._is_open = False
            self._release()

    def _infer(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        try:
            return self._compute(inputs)
        except Exception as error:  # the libraries' exceptions have no common class
            shapes = ", ".join(f"{name} {value.dtype} {value.shape}" for name, value in inputs.items())
            raise ModelFileError(
                f"{self._file.path} cannot be run on {shapes}: {in_one_line(error)}. Fix: export it again with "
                "export-onnx"
            ) from error

    @abstractmethod
    def _compute(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """One inference: all outputs by name, in memory that no later call writes to."""

    @abstractmethod
    def _release(self) -> None:
        """Drop what the library holds; may be called twice."""
