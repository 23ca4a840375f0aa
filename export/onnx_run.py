"""An ONNX file in ONNX Runtime on the CPU as a plain function: inputs by name -> outputs by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .. import BackendError, ModelFileError
from .fidelity import Run


def onnx_run(path: Path) -> Run:
    """Load the file at `path` to compare it with others; `runtime` has what is made for speed.

    Raises BackendError if ONNX Runtime is missing or refuses the file; the function raises ModelFileError for inputs
    that do not fit.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(f"ONNX Runtime cannot be imported ({error}): pip install 'amcnet[cpu]'") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library's exceptions have no common class of their own
        message = " ".join(str(error).split())
        raise BackendError(f"ONNX Runtime {onnxruntime.__version__} refuses {path}: {message}") from error
    names = [value.name for value in session.get_outputs()]
    wanted = {value.name: value.shape for value in session.get_inputs()}

    def run(inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        try:
            return dict(zip(names, session.run(names, dict(inputs)), strict=True))
        except Exception as error:
            raise ModelFileError(
                f"{path.name} takes {_shapes(wanted)}; it came {_shapes({k: v.shape for k, v in inputs.items()})}"
            ) from error

    return run


def _shapes(shapes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {'x'.join(str(size) for size in shape)}" for name, shape in shapes.items())
