"""A frame before its conversion to RGB, so that a frame that is skipped is not converted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..frame import SourceInfo


@dataclass(frozen=True, kw_only=True, eq=False)
class UndecodedFrame:
    """One frame at its time `pts` (in the source's time base); `to_rgb()` gives its (H, W, 3) uint8 RGB, upright.

    `duration` is its own, in the same unit; None where it lasts until the next frame.
    """

    pts: int
    to_rgb: Callable[[], NDArray[np.uint8]]
    duration: int | None = None


class RawSource(Protocol):
    """All frames of a source in order of presentation, each once, without any of them being held.

    `info.expected_frames` is that of the whole source. `truncated` is a sentence about what could not be read, None
    if nothing was missed so far. `notes` has a sentence for everything else that a person should know, so far.
    """

    @property
    def info(self) -> SourceInfo: ...

    @property
    def truncated(self) -> str | None: ...

    @property
    def notes(self) -> list[str]: ...

    def frames(self) -> Iterator[UndecodedFrame]: ...

    def close(self) -> None: ...
