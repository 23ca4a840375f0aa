"""ONNX file as a function in ONNX Runtime on the CPU: inputs by name -> outputs by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ...runtime.backends.onnxruntime_session import open_session
from ...runtime.errors import ModelFileError
from .fidelity import Run


def onnx_run(path: Path, *, in_order: bool = False) -> Run:
    """Load the file at `path` and return a function that runs it on all cores.

    in_order: see `open_session`. Raises BackendError if ONNX Runtime is missing or cannot load the file. The returned
    function raises ModelFileError for inputs of other names, shapes or types.
    """
    session = open_session(path, in_order=in_order).session
    names = [value.name for value in session.get_outputs()]
    wanted = {value.name: value.shape for value in session.get_inputs()}

    def run(inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        try:
            return dict(zip(names, session.run(names, dict(inputs)), strict=True))
        except Exception as error:
            raise ModelFileError(
                f"{path.name} cannot run: got {_shapes({k: v.shape for k, v in inputs.items()})}, expected "
                f"{_shapes(wanted)}"
            ) from error

    return run


def _shapes(shapes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {'x'.join(str(size) for size in shape)}" for name, shape in shapes.items())
