"""Clips and pictures -> trained weights: the paper's recipe, and the light one of the embedded default."""

from .loop import train
from .recipe import LIGHT, PAPER, RECIPES, Recipe

__all__ = ["LIGHT", "PAPER", "RECIPES", "Recipe", "train"]
