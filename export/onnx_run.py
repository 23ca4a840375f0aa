"""An ONNX file in ONNX Runtime on the CPU as a plain function: inputs by name -> outputs by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .. import BackendError, ModelFileError
from ..runtime.extras import needed_by
from .fidelity import Run

# It quantises what a file has in float between int8: calibration/float_guard.py.
_NOT_AS_WRITTEN = ["WeightBiasQuantization"]


def onnx_run(path: Path, *, in_order: bool = False) -> Run:
    """Load the file at `path` to measure it or compare it with others; `runtime` has what is made for speed.

    in_order: run the nodes in the order of the file. By default what only feeds an output comes last: a file that has
    outputs for all of its tensors could free none of them until then.
    Raises BackendError if ONNX Runtime is missing or refuses the file; the function raises ModelFileError for inputs
    that do not fit.
    """
    with needed_by(f"running {path.name}"):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Without VNNI its int8 kernels overflow by default: the light network in int8 had a mask IoU of 0.87, not 0.97.
    options.add_session_config_entry("session.x64quantprecision", "1")
    if in_order:
        options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    try:
        session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"], disabled_optimizers=_NOT_AS_WRITTEN
        )
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
