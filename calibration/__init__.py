"""FP32 ONNX files to INT8, by the frames of real clips."""

from .calibrator import Calibrated, calibrate
from .qdq import Quantised, quantise
from .table import CalibrationTable

__all__ = ["Calibrated", "CalibrationTable", "Quantised", "calibrate", "quantise"]
