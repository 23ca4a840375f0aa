"""ResourcePool: one thread per resource, no more resources than concurrent threads, and all closed at the end."""

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
def pool() -> ResourcePool[_ExecutionSlot]:
    _ExecutionSlot.made = []
    return ResourcePool(_ExecutionSlot)


def test_sequential_calls_share_one_slot(pool: ResourcePool[_ExecutionSlot]) -> None:
    for _ in range(3):
        with pool.take() as slot:
            assert slot is _ExecutionSlot.made[0]
    with pytest.raises(ValueError, match="in the block"), pool.take():
        raise ValueError("in the block")
    with pool.take(), pool.take():
        pass
    assert len(_ExecutionSlot.made) == 2


def test_concurrent_threads_have_one_slot_each(pool: ResourcePool[_ExecutionSlot]) -> None:
    together = threading.Barrier(4)
    taken: list[_ExecutionSlot] = []

    def work() -> None:
        with pool.take() as slot:
            taken.append(slot)
            together.wait()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, taken))) == len(_ExecutionSlot.made) == 4
    pool.close()
    pool.close()
    assert [slot.closed for slot in _ExecutionSlot.made] == [1] * 4


def test_a_slot_that_cannot_be_made_is_not_kept(pool: ResourcePool[_ExecutionSlot]) -> None:
    def fail() -> _ExecutionSlot:
        raise MemoryError

    broken: ResourcePool[_ExecutionSlot] = ResourcePool(fail)
    with pytest.raises(MemoryError), broken.take():
        pass
    broken.close()
