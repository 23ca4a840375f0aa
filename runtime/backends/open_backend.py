"""Choice of the inference library that runs a model file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..trt.card import EngineFile
from .base import Backend, NetworkFile

if TYPE_CHECKING:
    from .tensorrt_pipeline import PipelineBackend


def open_backend(file: NetworkFile, threads: int, device: str = "cpu") -> Backend:
    """Load `file` into the library that runs it on `device`, with `threads` threads in each call of `run`.

    device: one of DEVICES, for ONNX files; a GPU that cannot be used is an error. Engines always run on the GPU.
    Raises BackendError, EngineError, or ModelFileError for inputs or outputs that are not those of the model.
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
    """Raise BackendError if the library that `open_backend` uses for an ONNX file is not installed; import nothing.

    The requirements of an engine are on its card, which is compared with the machine before anything is loaded.
    """
    if isinstance(file, EngineFile):
        return
    from .onnxruntime_session import require_onnxruntime
    from .openvino_backend import runs_in_openvino

    if device != "cpu" or not runs_in_openvino(file):
        require_onnxruntime()


def open_pipeline(file: EngineFile) -> PipelineBackend:
    """Load the engine of a whole pipeline: frames in, masks out. Raises as `open_backend`."""
    from .tensorrt_pipeline import PipelineBackend

    return PipelineBackend(file)
