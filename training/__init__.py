"""Training of AMC-Net from annotated videos and still images, by the paper's recipe or the light one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .recipe import LIGHT, PAPER, RECIPES, Recipe

if TYPE_CHECKING:
    from .loop import train

__all__ = ["LIGHT", "PAPER", "RECIPES", "Recipe", "train"]


def __getattr__(name: str) -> Any:
    # Lazy: `amc-train --help` must not import torch.
    if name == "train":
        from .loop import train

        return train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
