"""Atomic writing of files: under a temporary name beside the final one, then renamed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import OutputError

_ELSEWHERE = "choose another folder with -o"
_ADVICE = {
    errno.ENOSPC: f"free some space or {_ELSEWHERE}",
    errno.EDQUOT: f"free some space or {_ELSEWHERE}",
    errno.EFBIG: f"raise the limit (ulimit -f) or {_ELSEWHERE}",
    errno.EACCES: "choose a folder that you may write to with -o",
    errno.EPERM: "choose a folder that you may write to with -o",
    errno.EROFS: _ELSEWHERE,
    errno.ENOENT: "create its folder first",
    errno.ENOTDIR: f"a part of this path is a file where a folder is needed; {_ELSEWHERE}",
    errno.EISDIR: f"a folder of that name is in the way; remove it or {_ELSEWHERE}",
    errno.ENAMETOOLONG: "choose a shorter name with -o",
}


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Convert an `OSError` from writing `path` to an `OutputError` with the path, the reason and the fix."""
    reason = error.strerror or str(error) or type(error).__name__
    code = error.errno if error.errno is not None else 0
    return OutputError(f"cannot write {path}: {reason}; {_ADVICE.get(code, _ELSEWHERE)}")


def make_folder(folder: Path) -> None:
    """Create `folder` and its missing parents. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise cannot_write(folder, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))) from error
    except OSError as error:
        raise cannot_write(folder, error) from error


def begin(path: Path) -> Path:
    """Create an empty temporary file beside `path`, and return it. Raises OutputError if `path` cannot be written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        temporary.write_bytes(b"")
    except OSError as error:
        raise cannot_write(path, error) from error
    return temporary


def commit(temporary: Path, path: Path) -> None:
    """Rename `temporary` to `path`. Raises OutputError. No fsync, which is slow: a resumed run checks its files."""
    try:
        temporary.replace(path)
    except OSError as error:
        discard(temporary)
        raise cannot_write(path, error) from error


def discard(temporary: Path) -> None:
    """Remove `temporary` and ignore errors: it is called while another error is handled."""
    with suppress(OSError):
        temporary.unlink()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`: renamed to `path` if the body succeeds, removed if it fails.

    Every `OSError` of the body, of opening and of renaming becomes an `OutputError` that names `path`, so the body
    should do nothing but write.
    """
    temporary = begin(path)
    try:
        yield temporary
    except OSError as error:
        discard(temporary)
        raise cannot_write(path, error) from error
    except BaseException:
        discard(temporary)
        raise
    commit(temporary, path)
