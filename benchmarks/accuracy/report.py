"""Text output of amc-eval: the table of scores and the line of temporal stability."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .bootstrap import CONFIDENCE
from .evaluation import Evaluation
from .score import Score
from .stability import Stability


def evaluation_table(evaluation: Evaluation) -> str:
    """A table with a line per sequence and the average last: J, F and J&F in percent."""
    width = max(len("sequence"), *(len(sequence.name) for sequence in evaluation.sequences))
    lines = [
        f"{'':{width}}  {'':6}  {' region J % ':-^21}  {' boundary F % ':-^21}",
        f"{'sequence':{width}}  {'frames':>6}" + 2 * f"  {'mean':>6} {'recall':>7} {'decay':>6}" + f"  {'J&F':>6}",
    ]
    for sequence in evaluation.sequences:
        both = (sequence.region.mean + sequence.boundary.mean) / 2
        lines.append(_line(sequence.name, width, len(sequence.frames), sequence.region, sequence.boundary, both))
    both = evaluation.region_and_boundary
    lines.append(_line("average", width, evaluation.frames, evaluation.region, evaluation.boundary, both))
    return "\n".join(lines)


def interval_line(intervals: Mapping[str, tuple[float, float]], sequences: int) -> str:
    """One line: the confidence interval of each average, in percent."""
    found = ", ".join(f"{name} {percent(lower)} to {percent(upper)}" for name, (lower, upper) in intervals.items())
    return f"{CONFIDENCE:.0%} confidence interval over {sequences} sequences: {found}"


def stability_line(stability: Stability) -> str:
    """One line: the mean, the number of frame pairs, and the lowest value with its frame."""
    return (
        f"temporal stability {percent(stability.mean)} % over {stability.pairs} pairs of frames, "
        f"lowest {percent(stability.worst)} % at frame {stability.worst_index}"
    )


def percent(share: float) -> str:
    """A value in [0, 1] as a percentage with one decimal; "-" for NaN."""
    return "-" if math.isnan(share) else f"{100 * share:z.1f}"


def _line(name: str, width: int, frames: int, region: Score, boundary: Score, both: float) -> str:
    scores = "".join(
        f"  {percent(score.mean):>6} {percent(score.recall):>7} {percent(score.decay):>6}"
        for score in (region, boundary)
    )
    return f"{name:{width}}  {frames:>6}{scores}  {percent(both):>6}"
