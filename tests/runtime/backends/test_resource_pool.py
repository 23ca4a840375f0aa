"""Lanes: one thread at a time in each, no more than there were threads at once, all closed at the end."""

from __future__ import annotations

import threading

import pytest

from amcnet.runtime.backends.resource_pool import Lanes


class _Lane:
    made: list[_Lane]

    def __init__(self) -> None:
        self.made.append(self)
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def lanes() -> Lanes[_Lane]:
    _Lane.made = []
    return Lanes(_Lane)


def test_one_after_the_other_share_a_lane(lanes: Lanes[_Lane]) -> None:
    for _ in range(3):
        with lanes.take() as lane:
            assert lane is _Lane.made[0]
    with pytest.raises(ValueError, match="in the block"), lanes.take():
        raise ValueError("in the block")
    with lanes.take(), lanes.take():
        pass
    assert len(_Lane.made) == 2


def test_threads_at_once_have_one_each(lanes: Lanes[_Lane]) -> None:
    together = threading.Barrier(4)
    taken: list[_Lane] = []

    def work() -> None:
        with lanes.take() as lane:
            taken.append(lane)
            together.wait()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, taken))) == len(_Lane.made) == 4
    lanes.close()
    lanes.close()
    assert [lane.closed for lane in _Lane.made] == [1] * 4


def test_a_lane_that_cannot_be_made_is_none(lanes: Lanes[_Lane]) -> None:
    def fail() -> _Lane:
        raise MemoryError

    broken: Lanes[_Lane] = Lanes(fail)
    with pytest.raises(MemoryError), broken.take():
        pass
    broken.close()
