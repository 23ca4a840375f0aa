"""FP32 ONNX files to INT8, by the frames of real clips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calibrate import Calibration, calibrate
    from .calibrator import Calibrated, calibrate_on_batches
    from .quantize import Quantized, quantize
    from .table import CalibrationTable

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
    # Lazy, so that `amc-calibrate --help` needs no onnx.
    if name in __all__:
        from . import calibrate, calibrator, quantize, table

        return next(
            getattr(module, name) for module in (calibrate, calibrator, quantize, table) if hasattr(module, name)
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
