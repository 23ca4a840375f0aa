"""Clips and pictures -> trained weights: the paper's recipe, and the light one of the embedded default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .recipe import LIGHT, PAPER, RECIPES, Recipe

if TYPE_CHECKING:
    from .loop import train

__all__ = ["LIGHT", "PAPER", "RECIPES", "Recipe", "train"]


def __getattr__(name: str) -> Any:
    # Lazy, so that `amc-train --help` needs no torch.
    if name == "train":
        from .loop import train

        return train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
