"""The split of the chosen frames: most for the ranges, some held out for the comparison with the FP32 file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

_Item = TypeVar("_Item")
_EVERY = 5  # one frame in so many is held out: one for the comparison to four for the ranges


def with_held_out(frames: int) -> int:
    """How many frames to choose so that `frames` of them are for the ranges."""
    return frames + -(-frames // (_EVERY - 1))


def split_held_out(items: Sequence[_Item]) -> tuple[Sequence[_Item], Sequence[_Item]]:
    """`items` -> (for the ranges, held out). On its own frames a file looks better than it is.

    The first is held out, then every fifth. A single item serves for both.
    """
    ranges = [item for index, item in enumerate(items) if index % _EVERY]
    return ranges or items, items[::_EVERY]
