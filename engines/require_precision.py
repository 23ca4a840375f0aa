"""Minimum share of operations in the requested precision."""

from __future__ import annotations

from ..runtime.errors import EngineError
from ..runtime.trt.precision_report import MIN_FP16_SHARE, MIN_INT8_SHARE, PrecisionReport


def require_fp16_share(report: PrecisionReport, name: str) -> None:
    """Raise EngineError unless at least 90 % of the operations of `name` run in FP16 or INT8."""
    if report.low_share < MIN_FP16_SHARE:
        raise EngineError(
            f"--fp16: only {100 * report.low_share:.1f} % of the operations of {name} are in FP16; "
            f"expected at least {100 * MIN_FP16_SHARE:.0f} %. In FP32: {_listed(report)}. "
            "Fix: build without --fp16, or export the file again"
        )


def require_int8_share(report: PrecisionReport, name: str) -> None:
    """Raise EngineError unless at least 80 % of the operations of `name` run in INT8."""
    share = report.share("int8")
    if share < MIN_INT8_SHARE:
        raise EngineError(
            f"--int8: only {100 * share:.1f} % of the operations of {name} are in INT8; "
            f"expected at least {100 * MIN_INT8_SHARE:.0f} %. In FP32: {_listed(report)}. "
            "Fix: calibrate it again: amc-calibrate --help"
        )


def _listed(report: PrecisionReport) -> str:
    return ", ".join(report.float_layers[:5]) + (" ..." if len(report.float_layers) > 5 else "")
