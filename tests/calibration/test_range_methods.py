"""Methods that choose a range, on distributions with known results."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from amcnet.calibration.range_methods import entropy, minmax, percentile, saturated
from amcnet.calibration.statistics import TensorStatistics


def _of(values: NDArray[np.float64]) -> TensorStatistics:
    return TensorStatistics(low=float(values.min()), high=float(values.max()), sample=values.astype(np.float32))


UNIFORM = np.linspace(-2, 6, 60_001)
NORMAL = np.random.default_rng(0).standard_normal(60_000)


def test_minmax_keeps_the_full_range() -> None:
    assert minmax(_of(UNIFORM)) == (-2, 6)
    assert saturated(_of(UNIFORM), (-2, 6)) == 0


def test_percentile_cuts_one_in_ten_thousand_at_both_ends() -> None:
    low, high = percentile(_of(UNIFORM))
    assert (low, high) == pytest.approx((-2 + 8e-4, 6 - 8e-4), abs=1e-4)
    assert saturated(_of(UNIFORM), (low, high)) == pytest.approx(2e-4, abs=5e-5)
    low, high = percentile(_of(np.append(NORMAL, 1000.0)))
    assert -4.5 < low < -3
    assert 3 < high < 4.5


def test_entropy_cuts_an_outlier_and_keeps_a_uniform_range() -> None:
    low, high = entropy(_of(UNIFORM))
    assert (low, high) == (-2, pytest.approx(6, rel=0.01))
    low, high = entropy(_of(np.append(NORMAL, 60.0)))
    assert low == pytest.approx(NORMAL.min())
    assert 2 < high < 20


def test_entropy_of_zeros_is_an_empty_range() -> None:
    assert entropy(_of(np.zeros(100))) == (0, 0)
