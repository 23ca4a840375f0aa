"""The choice of the library that runs a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..trt.card import EngineFile

if TYPE_CHECKING:
    from .tensorrt_pipeline import PipelineBackend
from .base import Backend, NetworkFile


def open_backend(file: NetworkFile, threads: int, device: str = "cpu") -> Backend:
    """Load `file` into the library that runs it on `device`, to compute with `threads` in each call of `run`.

    `device` is one of DEVICES; a GPU that was asked for and is not got is an error. An engine is for the GPU anyway.
    Raises BackendError, EngineError, or ModelFileError for other inputs or outputs than the network's.
    """
    if isinstance(file, EngineFile):
        from .tensorrt_backend import EngineBackend

        return EngineBackend(file)
    from .onnxruntime_backend import OnnxRuntimeBackend
    from .openvino_backend import OpenVinoBackend, runs_in_openvino

    if device == "cpu" and runs_in_openvino(file):
        return OpenVinoBackend(file, threads)
    return OnnxRuntimeBackend(file, threads, device)


def require_library(file: NetworkFile, device: str) -> None:
    """Raises BackendError where the library that `open_backend` takes for an ONNX file is not installed; imports none.

    What an engine needs is on its card, which is compared with the machine before anything is loaded.
    """
    if isinstance(file, EngineFile):
        return
    from .onnxruntime_session import require_onnxruntime
    from .openvino_backend import runs_in_openvino

    if device != "cpu" or not runs_in_openvino(file):
        require_onnxruntime()


def open_pipeline(file: EngineFile) -> PipelineBackend:
    """Load the engine of a whole pipeline, which takes frames and gives masks. Raises as `open_backend`."""
    from .tensorrt_pipeline import PipelineBackend

    return PipelineBackend(file)
