"""The noise score: the worst of its values, relative to what is allowed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from amcnet.benchmarks.latency.noise import Noise, measure_noise

QUIET = Noise(jitter=0.02, load=0.1, others_share=0.01, stolen_share=0.0)


def test_a_quiet_machine_has_no_warning() -> None:
    assert QUIET.score < 1
    assert QUIET.warning() is None
    assert replace(QUIET, load=None).score < 1


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("jitter", 0.5, "jitter 50%"),
        ("load", 2.0, "load average 2.0 per core"),
        ("others_share", 0.4, "other processes 40%"),
        ("stolen_share", 0.2, "the hypervisor 20% of the CPU time"),
    ],
)
def test_each_kind_of_noise_is_a_warning(name: str, value: float, expected: str) -> None:
    noise = replace(QUIET, **{name: value})
    warning = noise.warning()
    assert noise.score > 3
    assert warning is not None
    assert expected in warning
    assert "Wait and measure again, or go on" in warning


def test_noise_is_measured() -> None:
    noise = measure_noise(0.05)
    assert noise.jitter >= 0
    assert noise.to_json()["score"] == round(noise.score, 2)
