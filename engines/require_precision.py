"""Refusal of networks that do not compute in the precision that was asked for."""

from __future__ import annotations

from ..runtime.errors import EngineError
from ..runtime.trt.precision_report import MIN_HALF_SHARE, MIN_INT8_SHARE, Receipt


def require_half(receipt: Receipt, name: str) -> None:
    """EngineError unless at least 90 % of the operations run in half or int8: an engine called FP16 is to be one."""
    if receipt.low_share < MIN_HALF_SHARE:
        raise EngineError(
            f"--fp16 was asked for, but only {100 * receipt.low_share:.1f} % of the operations of {name} are in half; "
            f"expected at least {100 * MIN_HALF_SHARE:.0f} %. In float: {', '.join(receipt.float_layers[:5])}"
            f"{' ...' if len(receipt.float_layers) > 5 else ''}. Build without --fp16, or export the file again"
        )


def require_int8(receipt: Receipt, name: str) -> None:
    """EngineError unless at least 80 % of the operations run in int8."""
    if receipt.share("int8") < MIN_INT8_SHARE:
        raise EngineError(
            f"--int8 was asked for, but only {100 * receipt.share('int8'):.1f} % of the operations of {name} are in "
            f"int8; expected at least {100 * MIN_INT8_SHARE:.0f} %. In float: {', '.join(receipt.float_layers[:5])}"
            f"{' ...' if len(receipt.float_layers) > 5 else ''}. Calibrate it again: amc-calibrate --help"
        )
