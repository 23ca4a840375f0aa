"""ResourcePool: one thread at a time in each, no more than there were threads at once, all closed at the end."""

from __future__ import annotations

import threading

import pytest

from amcnet.runtime.backends.resource_pool import ResourcePool


class _ExecutionSlot:
    made: list[_ExecutionSlot]

    def __init__(self) -> None:
        self.made.append(self)
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def lanes() -> ResourcePool[_ExecutionSlot]:
    _ExecutionSlot.made = []
    return ResourcePool(_ExecutionSlot)


def test_one_after_the_other_share_a_lane(lanes: ResourcePool[_ExecutionSlot]) -> None:
    for _ in range(3):
        with lanes.take() as lane:
            assert lane is _ExecutionSlot.made[0]
    with pytest.raises(ValueError, match="in the block"), lanes.take():
        raise ValueError("in the block")
    with lanes.take(), lanes.take():
        pass
    assert len(_ExecutionSlot.made) == 2


def test_threads_at_once_have_one_each(lanes: ResourcePool[_ExecutionSlot]) -> None:
    together = threading.Barrier(4)
    taken: list[_ExecutionSlot] = []

    def work() -> None:
        with lanes.take() as lane:
            taken.append(lane)
            together.wait()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, taken))) == len(_ExecutionSlot.made) == 4
    lanes.close()
    lanes.close()
    assert [lane.closed for lane in _ExecutionSlot.made] == [1] * 4


def test_a_lane_that_cannot_be_made_is_none(lanes: ResourcePool[_ExecutionSlot]) -> None:
    def fail() -> _ExecutionSlot:
        raise MemoryError

    broken: ResourcePool[_ExecutionSlot] = ResourcePool(fail)
    with pytest.raises(MemoryError), broken.take():
        pass
    broken.close()
