"""A text file with one line per frame."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self, TextIO

from ..files.atomic import begin, cannot_write, commit, discard
from ..frame import MaskFrame


class TextWriter:
    """Writes `line(m)` for each frame to `path`, after `header` if there is one.

    However the block is left, the file then holds the lines so far under its name; without a frame, or if it cannot be
    written, there is no file.

        with TextWriter(path, lambda m: f"{m.index},{m.mask.sum()}", header="frame,area") as areas:
            areas.write(m)
    """

    def __init__(self, path: Path, line: Callable[[MaskFrame], str], *, header: str | None = None) -> None:
        self.notes: list[str] = []
        self._path, self._line, self._header = path, line, header
        self._temporary: Path | None = None
        self._file: TextIO | None = None
        self._lines = 0
        self._broken = False

    def __enter__(self) -> Self:
        self._temporary = begin(self._path)
        self._file = self._temporary.open("w", encoding="utf-8", newline="\n")
        return self

    def write(self, m: MaskFrame) -> None:
        """Add the line of `m`. Raises OutputError."""
        header = [self._header] if self._header is not None and self._lines == 0 else []
        self._lines += 1
        self._print("\n".join([*header, self._line(m), ""]))

    def __exit__(self, *_: object) -> None:
        if self._temporary is None or self._file is None:
            return
        try:
            if self._lines and not self._broken:
                self._print("", flush=True)
                commit(self._temporary, self._path)
        finally:
            with suppress(OSError):
                self._file.close()
            discard(self._temporary)

    def _print(self, text: str, *, flush: bool = False) -> None:
        assert self._file is not None
        try:
            self._file.write(text)
            if flush:
                self._file.flush()
        except OSError as error:
            self._broken = True
            raise cannot_write(self._path, error) from error
