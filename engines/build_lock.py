"""Lock on an engine file: one build at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..runtime.errors import EngineError
from ..runtime.files.atomic import cannot_write


@contextmanager
def only_build(engine: Path) -> Iterator[None]:
    """Hold a lock on the path `engine`, which the system releases when the process ends.

    Raises EngineError if another build holds it, OutputError if the lock file cannot be written.
    """
    import fcntl  # not on Windows

    path = engine.with_name(f".{engine.name}.lock")
    while True:
        try:
            file = path.open("a")
        except OSError as error:
            raise cannot_write(engine, error) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise EngineError(
                    f"{engine} is being built by another process. Fix: wait for it, or choose another name with -o"
                ) from None
            # The other build may have removed the file after it was opened here and before it was locked.
            if path.exists() and os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
