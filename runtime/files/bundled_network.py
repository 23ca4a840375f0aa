"""Trained networks bundled with the package, and the choice of the faster file of each for this processor."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..machine_info import multiplies_int8

WEIGHTS = Path(__file__).resolve().parents[2] / "models" / "weights"
"""amcnet-MODEL.onnx and amcnet-MODEL.int8.onnx, quantized for CPUs, of each of MODELS. Model card: README.md there."""
MODELS = ("light", "base")
"""One architecture at two input sizes: 256x256, the default, and 384x384, which takes 2.25 times the operations."""
PRECISIONS = ("auto", "fp32", "bf16", "int8")
DEFAULT_AMCNET = WEIGHTS / "amcnet-light.onnx"
DEFAULT_INT8 = WEIGHTS / "amcnet-light.int8.onnx"


def bundled_network(model: str, precision: str, device: str) -> Path:
    """File of a bundled network for `device`, "cpu" or "cuda".

        bundled_network("base", "int8", "cpu")

    model: one of MODELS. precision: "fp32", "bf16" (computed from the FP32 file), "int8", or "auto": INT8 on a CPU with
    instructions for it, else FP32.
    Raises InputError for another precision, and for "int8" on a GPU.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
    if precision == "int8" and device != "cpu":
        raise InputError("the bundled INT8 networks are for CPUs; leave out --precision or --device")
    int8 = precision == "int8" or (precision == "auto" and device == "cpu" and multiplies_int8())
    return WEIGHTS / f"amcnet-{model}{'.int8' if int8 else ''}.onnx"
