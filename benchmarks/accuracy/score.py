"""Mean, recall and decay of the values that the frames of one sequence reached."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_BINS = 4


@dataclass(frozen=True)
class Score:
    """`mean`; `recall`, the share of frames above 0.5; `decay`, how much is lost from first to last quarter.

    NaN stands where a sequence is too short to say.
    """

    mean: float
    recall: float
    decay: float

    @classmethod
    def of(cls, values: Sequence[float], inner: Sequence[float]) -> Score:
        """The score of a sequence; `values` count for the mean, `inner` (its ends left out) for recall and decay.

        Differs from the official evaluation in one thing: that keeps the borders of the quarters as uint8, which wraps
        above 255 frames and then compares the wrong frames or none (NaN at 300 frames). Here they do not wrap.
        """
        recall = float(np.mean(np.asarray(inner) > 0.5)) if inner else math.nan
        return cls(float(np.mean(values)), recall, _decay(inner))

    @classmethod
    def average(cls, scores: Sequence[Score]) -> Score:
        """The plain mean over sequences, each statistic over the sequences that have it."""
        return cls(*(_mean_of_known([getattr(s, name) for s in scores]) for name in ("mean", "recall", "decay")))

    def to_json(self) -> dict[str, float | None]:
        """The three figures by name; JSON has no NaN, so None stands for it."""
        return {
            name: None if math.isnan(value) else value
            for name, value in (("mean", self.mean), ("recall", self.recall), ("decay", self.decay))
        }


def _decay(values: Sequence[float]) -> float:
    if not values:
        return math.nan
    # The quarters share their border frames; 1e-10 makes halves round up, as MATLAB does.
    borders = np.round(np.linspace(1, len(values), _BINS + 1) + 1e-10).astype(int) - 1
    first, last = values[borders[0] : borders[1] + 1], values[borders[-2] : borders[-1] + 1]
    return float(np.mean(first) - np.mean(last))


def _mean_of_known(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
