"""The visitors of the page, and the files of each."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Visitor:
    """One open page. `folder` holds its results, under a name that cannot be guessed; it exists while a run uses it and
    until the visitor leaves or starts another run. `cancelled` ends the run after the frame in progress.
    """

    folder: Path
    cancelled: threading.Event = field(default_factory=threading.Event)
    uploads: set[Path] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def run(self) -> Iterator[Path]:
        """The folder, empty, for one run at a time; removed if the run fails or is cancelled."""
        with self._lock:
            self.cancelled.clear()
            self._remove()
            self.folder.mkdir(parents=True)
            try:
                yield self.folder
            except BaseException:
                self._remove()
                raise

    def leave(self) -> None:
        """Cancel the run, wait for its end and remove the folder."""
        self.cancelled.set()
        with self._lock:
            self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class Visitors:
    """All visitors, by the session of their page. Called from several threads."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where the folders of the visitors are made."""
        self._folder = folder
        self._visitors: dict[str, Visitor] = {}
        self._lock = threading.Lock()

    def get(self, session: str) -> Visitor:
        with self._lock:
            if session not in self._visitors:
                self._visitors[session] = Visitor(self._folder / secrets.token_hex(16))
            return self._visitors[session]

    def leave(self, session: str) -> None:
        """Forget the visitor, and remove its results and those of its uploads that no other visitor has, too.

        gradio stores an upload under the hash of its content, so that the same file of two visitors is one.
        """
        with self._lock:
            visitor = self._visitors.pop(session, None)
            others = {upload for other in self._visitors.values() for upload in other.uploads}
        if visitor is not None:
            visitor.leave()
            for upload in visitor.uploads - others:
                with suppress(OSError):
                    upload.unlink()
                    upload.parent.rmdir()

    def close(self) -> None:
        """Let all visitors leave."""
        with self._lock:
            sessions = list(self._visitors)
        for session in sessions:
            self.leave(session)
