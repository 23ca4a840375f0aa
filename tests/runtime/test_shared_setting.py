"""A process-wide setting is set by the first of several holders and restored by the last."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from amcnet.runtime.shared_setting import SharedSetting


class _Library:
    """Its setting begins at 8; `written` are the values that it was given."""

    def __init__(self) -> None:
        self.value = 8
        self.written: list[int] = []

    def write(self, value: int) -> None:
        self.written.append(value)
        self.value = value


@pytest.fixture
def library() -> _Library:
    return _Library()


@pytest.fixture
def setting(library: _Library) -> SharedSetting:
    return SharedSetting(lambda: library.value, library.write, 1)


def test_nested_blocks_restore_the_setting(library: _Library, setting: SharedSetting) -> None:
    with setting:
        with setting:
            assert library.value == 1
        assert library.value == 1
    assert library.written == [1, 8]
    with pytest.raises(KeyError), setting:
        raise KeyError
    assert library.value == 8


def test_the_last_of_two_overlapping_blocks_restores(library: _Library, setting: SharedSetting) -> None:
    """By storing and restoring alone, the second one would store the first one's value and leave it for good."""
    second_began, first_ended = threading.Event(), threading.Event()

    def second() -> int:
        with setting:
            second_began.set()
            first_ended.wait()
            return library.value

    with ThreadPoolExecutor(1) as pool:
        with setting:
            inside = pool.submit(second)
            second_began.wait()
        first_ended.set()
        assert inside.result() == 1
    assert library.value == 8


def test_many_threads_restore_the_setting(library: _Library, setting: SharedSetting) -> None:
    def hold(_: int) -> bool:
        with setting:
            return library.value == 1

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(hold, range(2000)))
    assert library.value == 8


def test_a_value_set_by_others_in_the_meantime_is_kept(library: _Library, setting: SharedSetting) -> None:
    with setting:
        library.value = 3
    assert library.value == 3


def test_a_setting_that_cannot_be_written_is_not_held(library: _Library) -> None:
    def refuse(value: int) -> None:
        raise RuntimeError

    broken = SharedSetting(lambda: library.value, refuse, 1)
    for _ in range(2):
        with pytest.raises(RuntimeError), broken:
            pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_forked_during_a_change_can_use_the_setting() -> None:
    reading, forked = threading.Event(), threading.Event()

    def read() -> int:
        if threading.current_thread() is not threading.main_thread():
            reading.set()
            forked.wait(0.2)  # while the lock is held
        return 8

    setting = SharedSetting(read, lambda value: None, 1)
    thread = threading.Thread(target=setting.__enter__)
    thread.start()
    reading.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # ends a child that waits forever
        with setting:
            os._exit(0)
    forked.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
