"""Mean, recall and decay over the frames of a sequence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from amcnet.benchmarks.accuracy.score import Score


def official_decay(inner: list[float]) -> float:
    """Decay as the official code has it, borders in uint8. NumPy leaves the cast of 297 open; in practice it wraps."""
    ids = np.round(np.linspace(1, len(inner), 5) + 1e-10) - 1
    wrapped = [int(i) % 256 for i in ids]
    first, last = inner[wrapped[0] : wrapped[1] + 1], inner[wrapped[3] : wrapped[4] + 1]
    return float(np.mean(first) - np.mean(last)) if first and last else math.nan


def test_statistics_equal_a_count_by_hand() -> None:
    values = [0.9, 0.7, 0.5, 0.6, 0.2]
    score = Score.of(values, values)
    assert score.mean == pytest.approx(0.58)
    assert score.recall == 3 / 5  # 0.5 itself is not above 0.5
    assert score.decay == pytest.approx(0.8 - 0.4)  # quarters share their borders: (0.9, 0.7) and (0.6, 0.2)


def test_first_and_last_frames_count_for_the_mean_only() -> None:
    values = [0.0, 0.9, 0.8, 0.0]
    score = Score.of(values, values[1:-1])
    assert (score.mean, score.recall) == (pytest.approx(0.425), 1.0)
    assert score.decay == pytest.approx(0.1)


@pytest.mark.parametrize("frames", [3, 4, 5, 50, 80, 104, 256])
def test_decay_is_the_official_one_up_to_256_frames(frames: int) -> None:
    inner = list(np.random.default_rng(frames).random(frames))
    assert Score.of(inner, inner).decay == official_decay(inner)


def test_decay_of_300_frames_has_no_overflow() -> None:
    inner = [1 - i / 297 for i in range(298)]  # 300 frames without their ends, falling from 1 to 0
    # Quarters 0..74 and 223..297, whose middles lie 223 frames apart. The official last quarter is 223..41: empty.
    assert Score.of(inner, inner).decay == pytest.approx(223 / 297)
    assert math.isnan(official_decay(inner))


def test_decay_of_400_frames_uses_the_right_frames() -> None:
    inner = [1 - i / 397 for i in range(398)]
    # Quarters 0..99 and 298..397. The official last quarter is 42..141.
    assert Score.of(inner, inner).decay == pytest.approx(298 / 397)
    assert official_decay(inner) == pytest.approx(42 / 397)


def test_short_sequences_have_no_recall_and_decay() -> None:
    score = Score.of([0.8, 0.6], [])
    assert score.mean == pytest.approx(0.7)
    assert math.isnan(score.recall)
    assert math.isnan(score.decay)
    assert score.to_json() == {"mean": pytest.approx(0.7), "recall": None, "decay": None}


def test_average_of_each_statistic_where_it_is_defined() -> None:
    average = Score.average([Score(0.7, math.nan, math.nan), Score(0.9, 1.0, 0.2), Score(0.8, 0.5, 0.4)])
    assert (average.mean, average.recall, average.decay) == pytest.approx((0.8, 0.75, 0.3))
    assert math.isnan(Score.average([Score(0.7, math.nan, math.nan)]).recall)
