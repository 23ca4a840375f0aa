"""Quantization of FP32 ONNX files to INT8, calibrated with frames of clips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calibrator import Calibrated, calibrate_on_batches
    from .clip_calibration import Calibration, calibrate
    from .quantizer import Quantized, quantize
    from .table import CalibrationTable

# No module has one of these names: once imported, it would take the place of the function.
__all__ = [
    "Calibrated",
    "Calibration",
    "CalibrationTable",
    "Quantized",
    "calibrate",
    "calibrate_on_batches",
    "quantize",
]


def __getattr__(name: str) -> Any:
    # Lazy, because these modules import onnx.
    if name in __all__:
        from . import calibrator, clip_calibration, quantizer, table

        modules = (calibrator, clip_calibration, quantizer, table)
        return next(getattr(module, name) for module in modules if hasattr(module, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
