"""For what holds files, threads or sessions: closed at the end of its `with` block."""

from __future__ import annotations

from typing import Self

from .errors import AmcNetError


class Closeable:
    """A context manager by its `close()`."""

    def close(self) -> None:
        """Release what is held; closing twice is allowed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.close()
        except AmcNetError:
            if error[0] is None:
                raise
            # Else the block's own error says what happened: after a GPU has failed, closing fails too.
