"""The trained networks that come with the package, and which of them this processor is fastest with."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..machine_info import multiplies_int8

DEFAULT_AMCNET = Path(__file__).resolve().parents[2] / "models" / "weights" / "amcnet-light.onnx"
"""models/weights/README.md is its card."""
DEFAULT_INT8 = DEFAULT_AMCNET.with_suffix(".int8.onnx")
"""The same, quantized for CPUs."""
PRECISIONS = ("auto", "fp32", "int8")


def bundled_network(precision: str, device: str) -> Path:
    """The file in this precision ("fp32", "int8", or "auto" for int8 on a CPU made for it) for "cpu" or "cuda".

    Raises InputError for one that there is not.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
    if precision == "int8" and device != "cpu":
        raise InputError("the int8 network inside is for CPUs; leave out --precision or --device")
    int8 = precision == "int8" or (precision == "auto" and device == "cpu" and multiplies_int8())
    return DEFAULT_INT8 if int8 else DEFAULT_AMCNET
