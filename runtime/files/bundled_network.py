"""Trained networks bundled with the package, and the choice of the faster one for this processor."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..machine_info import multiplies_int8

DEFAULT_AMCNET = Path(__file__).resolve().parents[2] / "models" / "weights" / "amcnet-light.onnx"
"""Model card: models/weights/README.md."""
DEFAULT_INT8 = DEFAULT_AMCNET.with_suffix(".int8.onnx")
"""The same network, quantized to INT8 for CPUs."""
PRECISIONS = ("auto", "fp32", "bf16", "int8")


def bundled_network(precision: str, device: str) -> Path:
    """File of the bundled network for `device`, "cpu" or "cuda".

    precision: "fp32", "bf16" (computed from the FP32 file), "int8", or "auto": INT8 on a CPU with instructions for it,
    else FP32.
    Raises InputError for another precision, and for "int8" on a GPU.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
    if precision == "int8" and device != "cpu":
        raise InputError("the bundled INT8 network is for CPUs; leave out --precision or --device")
    int8 = precision == "int8" or (precision == "auto" and device == "cpu" and multiplies_int8())
    return DEFAULT_INT8 if int8 else DEFAULT_AMCNET
