"""One build of an engine at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..runtime.errors import EngineError
from ..runtime.files.atomic import cannot_write


@contextmanager
def only_build(engine: Path) -> Iterator[None]:
    """Hold a lock on `engine`'s name; EngineError if another build does. The system lets go of it if we are killed."""
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
                    f"{engine} is being built by another process; wait for it, or give this one another name with -o"
                ) from None
            # The other build may have removed the file between our opening and locking it.
            if path.exists() and os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
