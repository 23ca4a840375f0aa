"""Mean, recall and decay of the per-frame values of a sequence, as of the DAVIS-2016 evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_BINS = 4


@dataclass(frozen=True)
class Score:
    """`mean`; `recall`, the share of frames above 0.5; `decay`, the mean of the first quarter minus that of the last.

    NaN if a sequence is too short.
    """

    mean: float
    recall: float
    decay: float

    @classmethod
    def of(cls, values: Sequence[float], inner: Sequence[float]) -> Score:
        """The score of a sequence: mean over `values`; recall and decay over `inner`, without the first and last frame.

        Differs from the official evaluation for sequences of more than 255 frames: there, the borders of the quarters
        are uint8 and overflow, so that the wrong frames or none are compared (NaN at 300 frames).
        """
        recall = float(np.mean(np.asarray(inner) > 0.5)) if inner else math.nan
        return cls(float(np.mean(values)), recall, _decay(inner))

    @classmethod
    def average(cls, scores: Sequence[Score]) -> Score:
        """The mean over sequences, for each statistic over those where it is defined."""
        return cls(*(_mean_of_known([getattr(s, name) for s in scores]) for name in ("mean", "recall", "decay")))

    def to_json(self) -> dict[str, float | None]:
        """The statistics by name, None in place of NaN, which JSON does not have."""
        return {
            name: None if math.isnan(value) else value
            for name, value in (("mean", self.mean), ("recall", self.recall), ("decay", self.decay))
        }


def _decay(values: Sequence[float]) -> float:
    if not values:
        return math.nan
    # Adjacent quarters share a frame; 1e-10 rounds halves up as MATLAB does.
    borders = np.round(np.linspace(1, len(values), _BINS + 1) + 1e-10).astype(int) - 1
    first, last = values[borders[0] : borders[1] + 1], values[borders[-2] : borders[-1] + 1]
    return float(np.mean(first) - np.mean(last))


def _mean_of_known(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
