"""Lock of a folder against a second process that writes to it."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from ..errors import OutputError
from .atomic import cannot_write, make_folder

if sys.platform != "win32":
    import fcntl


@contextmanager
def locked_folder(lock: Path) -> Iterator[None]:
    """Hold the file `lock` during the block; its folder is made if it is missing, and removed if it stays empty.

    The file has the process, the host and the time, and is removed at the end. The system releases the lock of a
    process that was killed. File systems without `flock` have no lock. Raises OutputError if another process holds it,
    or if it cannot be written.

        with locked_folder(Path("out/.lock")): ...
    """
    make_folder(lock.parent)
    try:
        file = _acquire(lock)
        try:
            _describe_holder(file)
            yield
        finally:
            lock.unlink(missing_ok=True)  # before the lock is released, so that nobody removes that of another
            os.close(file)
    finally:
        with suppress(OSError):
            lock.parent.rmdir()  # which keeps a folder that is not empty


def require_unlocked(lock: Path) -> None:
    """Raises OutputError if another process holds `lock`; writes nothing."""
    with suppress(FileNotFoundError, NotADirectoryError):
        try:
            file = os.open(lock, os.O_RDONLY)
        except PermissionError:
            return
        try:
            _flock(file, shared=True)
        except BlockingIOError as error:
            raise _in_use(lock) from error
        finally:
            os.close(file)


def _acquire(lock: Path) -> int:
    """An open file descriptor that holds `lock`. Raises OutputError."""
    while True:
        try:
            file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise cannot_write(lock, error) from error
        try:
            _flock(file)
            if os.path.samestat(os.fstat(file), lock.stat()):
                return file
        except BlockingIOError as error:
            os.close(file)
            raise _in_use(lock) from error
        except FileNotFoundError:  # removed by its holder between opening and locking
            pass
        os.close(file)


def _flock(file: int, *, shared: bool = False) -> None:
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a network file system without locks
        return


def _describe_holder(file: int) -> None:
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    holder = {"process": os.getpid(), "host": socket.gethostname(), "since": since}
    with suppress(OSError):  # a full disk: what is written next fails with its own error
        os.ftruncate(file, 0)
        os.write(file, json.dumps(holder).encode())


def _in_use(lock: Path) -> OutputError:
    holder = "another process"
    with suppress(OSError, ValueError, KeyError, TypeError):
        described = json.loads(lock.read_text())
        holder = f"process {described['process']} on {described['host']} since {described['since']}"
    return OutputError(
        f"{lock.parent} is in use by {holder}; expected a folder that no other process writes to. Fix: wait for it, "
        "stop it, or choose another folder with -o"
    )
