"""The interface of all writers: one output, written frame by frame."""

from __future__ import annotations

from typing import Protocol, Self

from ..frame import MaskFrame


class Writer(Protocol):
    """Writes one output in a `with` block, a call of `write` for each frame in order.

    Each file appears whole: an image when it is written, a video or a text when the block is left. If it is left by an
    exception, a video or text holds the frames so far. `notes` has a sentence for everything that differs from the
    source; it is complete after the block.
    """

    @property
    def notes(self) -> list[str]: ...

    def write(self, m: MaskFrame) -> None:
        """Add one frame. Raises OutputError."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...
