"""Time and memory of a process, and the limits."""

from __future__ import annotations

import pytest

from amcnet.benchmarks.studies.conversion_speed import LIMITS, beyond, run
from amcnet.runtime.errors import AmcNetError


def test_a_process_is_measured() -> None:
    measured = run("import sys; memory = b'x' * int(sys.argv[1])", "800_000_000")
    assert measured["seconds"] > 0
    assert 0.8 <= measured["peak_gb"] < 1.0
    with pytest.raises(AmcNetError, match=r"^a b failed: got exit status 3, expected 0"):
        run("import sys; sys.exit(3)", "a", "b")


def test_values_above_a_limit_are_named() -> None:
    assert beyond(LIMITS) == []
    slow = LIMITS | {"export": {"seconds": 90.1, "peak_gb": 7.9}}
    assert beyond(slow) == ["export seconds"]
    assert beyond(LIMITS | {"build": {"seconds": 61.0, "peak_gb": 99.0}}) == ["build seconds"]
