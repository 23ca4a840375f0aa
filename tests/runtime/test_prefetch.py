"""Prefetching: the same items and errors as without a thread, a bounded queue, and no thread left behind."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from amcnet.runtime.prefetch import prefetch


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "amcnet prefetch"]


@pytest.mark.parametrize("ahead", [1, 2, 7])
def test_items_come_in_order(ahead: int) -> None:
    items = [None, 0, StopIteration(), *range(50)]  # values that could be mistaken for an end
    assert list(prefetch(iter(items), ahead)) == items
    assert list(prefetch(iter([]), ahead)) == []
    assert _threads() == []


def test_an_error_is_raised_in_the_place_of_its_item() -> None:
    def broken() -> Iterator[int]:
        yield from range(3)
        raise KeyError("fourth")

    items = prefetch(broken())
    assert [next(items), next(items), next(items)] == [0, 1, 2]
    with pytest.raises(KeyError, match="fourth"):
        next(items)
    assert _threads() == []


def test_items_are_made_ahead_up_to_a_limit() -> None:
    taken, leads = 0, []
    made = [threading.Event() for _ in range(100)]

    def count() -> Iterator[int]:
        for number in range(100):
            leads.append(number - taken)
            made[number].set()
            yield number

    items = prefetch(count(), ahead=2)
    for expected in range(97):
        assert next(items) == expected
        taken += 1
        made[taken + 1].wait()  # the second one behind it comes while the caller does nothing
    # In all these rounds a thread without a bound would have run ahead to the end.
    assert max(leads) <= 2
    items.close()
    assert _threads() == []
    assert len(leads) == 99, "nothing was made after that"


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_dropping_a_chain_ends_all_its_threads(taken: int) -> None:
    source = iter(range(1_000_000))
    chain = prefetch(prefetch(prefetch(source)))
    for expected in range(taken):
        assert next(chain) == expected
    assert len(_threads()) == (3 if taken else 0)
    del chain
    assert _threads() == []
    assert next(source) <= taken + 12  # nothing went on reading


_LEFT_OPEN = """
import sys, time
import numpy as np, cv2
from amcnet.runtime.prefetch import prefetch
def work(items):
    for item in items:
        for _ in range(20):
            cv2.GaussianBlur(item, (0, 0), 3)  # lets go of the interpreter's lock, and dies with it
        yield item
frames = (np.zeros((300, 300, 3), np.uint8) for _ in range(10_000))
chain = prefetch(work(prefetch(work(prefetch(frames)))))
next(chain)
print("one")
if sys.argv[1] == "raise":
    raise SystemExit(3)
"""


@pytest.mark.parametrize(("how", "status"), [("fall off the end", 0), ("raise", 3)])
def test_a_program_that_leaves_chains_open_exits_normally(how: str, status: int) -> None:
    command = [sys.executable, "-c", _LEFT_OPEN, how]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "one\n", "")
