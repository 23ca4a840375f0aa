"""Confidence intervals of J, F and J&F by bootstrap over sequences: how far other sequences could move the averages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import InputError
from .evaluation import Evaluation

DRAWS = 10_000
SEED = 0
CONFIDENCE = 0.95


def mean_interval(values: Sequence[float] | NDArray[np.floating[Any]]) -> tuple[float, float]:
    """The 95 % confidence interval of the mean of `values`, one per sequence: (lower, upper).

        mean_interval([0.61, 0.72, 0.90])
        mean_interval(with_filter - without)    # paired: of the difference of two results on the same sequences

    Percentile bootstrap: as many values as there are, drawn with replacement, 10,000 times with a fixed seed; the ends
    are the 2.5th and 97.5th percentile of the means. B. Efron, R. Tibshirani: An Introduction to the Bootstrap, 1993,
    chapter 13. Raises InputError for fewer than two values.
    """
    found = np.asarray(values, np.float64)
    if len(found) < 2:
        raise InputError(
            f"a bootstrap over sequences needs two or more: got {len(found)}. Fix: score more sequences, or leave out "
            "--bootstrap"
        )
    drawn = np.random.default_rng(SEED).integers(0, len(found), (DRAWS, len(found)))
    margin = 50 * (1 - CONFIDENCE)
    lower, upper = np.percentile(found[drawn].mean(axis=1), [margin, 100 - margin])
    return float(lower), float(upper)


def intervals(evaluation: Evaluation) -> dict[str, tuple[float, float]]:
    """{"J": (lower, upper), "F": ..., "J&F": ...} in [0, 1]. Raises InputError for a single sequence."""
    region = np.array([sequence.region.mean for sequence in evaluation.sequences])
    boundary = np.array([sequence.boundary.mean for sequence in evaluation.sequences])
    return {name: mean_interval(v) for name, v in (("J", region), ("F", boundary), ("J&F", (region + boundary) / 2))}


def intervals_json(found: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """The entry "bootstrap" of `amc-eval --bootstrap --json`."""
    settings = {"confidence": CONFIDENCE, "draws": DRAWS, "seed": SEED}
    return settings | {name: list(interval) for name, interval in found.items()}
