"""FP32 ONNX files to INT8, by the frames of real clips."""

from .calibrate import Calibration, calibrate
from .calibrator import Calibrated, calibrate_on_batches
from .qdq import Quantised, quantise
from .table import CalibrationTable

__all__ = [
    "Calibrated",
    "Calibration",
    "CalibrationTable",
    "Quantised",
    "calibrate",
    "calibrate_on_batches",
    "quantise",
]
