"""Rows of Tables 1 to 3 of the paper and its FBMS variant, as changes to a recipe."""

from __future__ import annotations

from typing import Any

ROWS: dict[str, dict[str, Any]] = {
    "baseline": {"architecture": {"concatenation": True}},
    **{f"gates on {levels} levels": {"architecture": {"gated_levels": levels}} for levels in range(6)},
    **{f"{count} corrections": {"architecture": {"corrections": count}} for count in (1, 3, 5)},
    **{f"{count} supervised attention maps": {"supervised_attentions": count} for count in range(6)},
    "FBMS variant": {"architecture": {"appearance_decoder": True}},
}
