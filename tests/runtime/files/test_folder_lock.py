"""One process at a time in a folder; the lock of a killed process is released."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from amcnet.runtime.errors import OutputError
from amcnet.runtime.files import folder_lock
from amcnet.runtime.files.folder_lock import locked_folder, require_unlocked

if sys.platform == "win32":
    pytest.skip("there is no flock", allow_module_level=True)

_HOLDER = """
import sys
from pathlib import Path
from amcnet.runtime.files.folder_lock import locked_folder
with locked_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def _held(lock: Path) -> Iterator[subprocess.Popen[str]]:
    """`lock`, held by another process."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_second_process_is_refused_with_the_holder_of_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "out" / ".lock"
    with _held(lock) as process:
        says = (
            rf"{re.escape(str(lock.parent))} is in use by process {process.pid} on {re.escape(socket.gethostname())} "
            r"since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC; expected .* Fix: wait for it, stop it, or .* -o"
        )
        with pytest.raises(OutputError, match=says), locked_folder(lock):
            pass
        with pytest.raises(OutputError, match=says):
            require_unlocked(lock)
        lock.write_text("{")
        with pytest.raises(OutputError, match="in use by another process"):
            require_unlocked(lock)
        assert process.poll() is None


def test_the_lock_of_a_killed_process_is_released(tmp_path: Path) -> None:
    lock = tmp_path / "out" / ".lock"
    with _held(lock) as process:
        process.kill()
        process.wait()
    assert lock.exists()
    require_unlocked(lock)
    with locked_folder(lock):
        assert json.loads(lock.read_text())["process"] == os.getpid()
        (tmp_path / "out" / "result").touch()
    assert [path.name for path in lock.parent.iterdir()] == ["result"]


def test_a_folder_that_stays_empty_is_removed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing"), locked_folder(tmp_path / "out" / ".lock"):
        raise ValueError("nothing")
    assert list(tmp_path.iterdir()) == []
    require_unlocked(tmp_path / "out" / ".lock")


def test_a_lock_file_removed_by_its_holder_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / ".lock"
    lock.touch()
    flock, removed = folder_lock._flock, []

    def remove_first(file: int) -> None:
        if not removed:
            lock.unlink()
            removed.append(True)
        flock(file)

    monkeypatch.setattr(folder_lock, "_flock", remove_first)
    with locked_folder(lock):
        assert json.loads(lock.read_text())["process"] == os.getpid()
    assert removed


def test_a_file_system_without_locks_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(folder_lock.fcntl, "flock", refuse)
    with locked_folder(tmp_path / ".lock"), locked_folder(tmp_path / "other" / ".lock"):
        require_unlocked(tmp_path / ".lock")
