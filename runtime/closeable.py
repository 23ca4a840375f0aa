"""Base class of objects that hold files, threads or sessions, closed at the end of a `with` block."""

from __future__ import annotations

from typing import Self

from .errors import AmcNetError


class Closeable:
    """Context manager whose exit calls `close()`."""

    def close(self) -> None:
        """Release the resources; a second call has no effect."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.close()
        except AmcNetError:
            if error[0] is None:
                raise
            # Keep the error of the block: after a GPU error, closing fails too and would hide the cause.
