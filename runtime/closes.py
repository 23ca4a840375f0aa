"""For what holds files, threads or sessions: closed at the end of its `with` block."""

from __future__ import annotations

from typing import Self


class Closes:
    """A context manager by its `close()`."""

    def close(self) -> None:
        """Release what is held; closing twice is allowed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
