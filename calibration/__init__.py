"""FP32 ONNX files to INT8, by the frames of real clips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calibrator import Calibrated, calibrate
    from .qdq import Quantised, quantise
    from .table import CalibrationTable

__all__ = ["Calibrated", "CalibrationTable", "Quantised", "calibrate", "quantise"]


def __getattr__(name: str) -> Any:
    # Lazy, so that `calibrate --help` needs no onnx.
    if name in __all__:
        from . import calibrator, qdq, table

        return next(getattr(module, name) for module in (calibrator, qdq, table) if hasattr(module, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
