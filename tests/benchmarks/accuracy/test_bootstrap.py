"""Bootstrap intervals with known answers: closed forms for two values, and the normal approximation for many."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from amcnet.benchmarks import evaluate
from amcnet.benchmarks.accuracy.bootstrap import intervals, mean_interval
from amcnet.runtime.errors import InputError


def test_equal_values_have_an_interval_of_zero_width() -> None:
    assert mean_interval([0.25] * 6) == (0.25, 0.25)


def test_the_interval_of_two_values() -> None:
    # A quarter of the draws takes the first value twice, another quarter the second.
    assert mean_interval([0.2, 0.8]) == (pytest.approx(0.2), pytest.approx(0.8))


def test_many_values_approach_the_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(0.7, 0.1, 400)
    half_width = 1.96 * values.std() / np.sqrt(len(values))
    lower, upper = mean_interval(values)
    assert lower == pytest.approx(values.mean() - half_width, abs=0.05 * half_width)
    assert upper == pytest.approx(values.mean() + half_width, abs=0.05 * half_width)


def test_the_same_values_give_the_same_interval() -> None:
    values = [0.1, 0.5, 0.6, 0.9]
    assert mean_interval(values) == mean_interval(values)


def test_a_paired_difference_is_narrower_than_the_results() -> None:
    without = np.array([0.2, 0.5, 0.9])
    assert mean_interval(without + 0.01 - without) == pytest.approx((0.01, 0.01))
    lower, upper = mean_interval(without)
    assert upper - lower > 0.3


@pytest.mark.parametrize("values", [[], [0.5]])
def test_one_sequence_has_no_interval(values: list[float]) -> None:
    with pytest.raises(InputError, match=rf"needs two or more: got {len(values)}"):
        mean_interval(values)


def test_an_evaluation_has_intervals(
    tmp_path: Path,
    write_pictures: Callable[[Path, dict[str, NDArray[np.uint8]]], None],
    moving_square: Callable[[Iterable[int]], dict[str, NDArray[np.uint8]]],
) -> None:
    for name, offset in (("exact", 0), ("shifted", 5)):
        write_pictures(tmp_path / "annotations" / name, moving_square([20] * 4))
        write_pictures(tmp_path / "masks" / name, moving_square([20 + offset] * 4))
    evaluation = evaluate(tmp_path / "masks", tmp_path / "annotations")
    found = intervals(evaluation)
    assert found["J"] == (pytest.approx(1 / 3), 1)
    worst = evaluation.sequences[1].boundary.mean
    assert found["F"] == (pytest.approx(worst), 1)
    assert found["J&F"] == (pytest.approx((1 / 3 + worst) / 2), 1)
