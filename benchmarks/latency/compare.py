"""Compare two reports of amc-bench row by row: faster, slower, or no significant difference."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import InputError
from .bench import SCHEMA

TOLERANCE = 0.05
_DRAWS = 2000
_CONFIDENCE = 95


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One row of both reports: medians in ms, and the relative change of the second one (0.1: 10 % slower).

    `change` and the ends `low` and `high` of its 95 % confidence interval are corrected for the change of the reference
    measurement. stable: neither report has a warning for the row.
    """

    name: str
    first_ms: float
    second_ms: float
    change: float
    low: float
    high: float
    stable: bool

    @property
    def verdict(self) -> str:
        """ "slower" or "faster" if the whole interval is on that side of 0, else "not significant"."""
        if self.low > 0:
            return "slower"
        return "faster" if self.high < 0 else "not significant"

    def is_regression(self, tolerance: float) -> bool:
        """Whether the lower end of the confidence interval is above `tolerance`."""
        return self.low > tolerance


def compare(first: Path, second: Path) -> list[Difference]:
    """The differences of the rows in both reports, matched by file and runtime; whole frames come last.

    Raises InputError for a file that is not a report of this version, or if no row is in both.
    """
    one, other = _read(first), _read(second)
    rows, others = _rows(one), _rows(other)
    common = [name for name in rows if name in others]
    if not common:
        raise InputError(
            f"no row is in both reports: {first} has {', '.join(rows)}; {second} has {', '.join(others)}; expected two "
            "reports of the same files"
        )
    machine = _medians(other["reference"]["rounds_ms"], 3) / _medians(one["reference"]["rounds_ms"], 4)
    return [_difference(name, rows[name], others[name], machine) for name in common]


def machine_change(first: Path, second: Path) -> float:
    """Relative change of the reference measurement, a matrix product, from the first report to the second."""
    return float(_read(second)["reference"]["p50_ms"] / _read(first)["reference"]["p50_ms"] - 1)


def comparison_table(differences: list[Difference], tolerance: float) -> str:
    """A table with a line for each difference; rows above `tolerance` are marked REGRESSION."""
    width = max(len(difference.name) for difference in differences)
    lines = [f"{'':{width}}  {'first':>9}  {'second':>9}  {'change':>7}  {'95 % interval':>17}"]
    for row in differences:
        mark = " REGRESSION" if row.is_regression(tolerance) else ""
        mark += "" if row.stable else " (unstable run)"
        lines.append(
            f"{row.name:{width}}  {row.first_ms:6.1f} ms  {row.second_ms:6.1f} ms  {row.change:+7.1%}  "
            f"{row.low:+8.1%}{row.high:+9.1%}  {row.verdict}{mark}"
        )
    return "\n".join(lines)


def _difference(name: str, first: dict[str, Any], second: dict[str, Any], machine: NDArray[np.float64]) -> Difference:
    """`machine`: bootstrap samples of the ratio of the reference measurements."""
    ratios = _medians(second["rounds_ms"], 2) / _medians(first["rounds_ms"], 1) / machine
    low, middle, high = np.percentile(ratios, [(100 - _CONFIDENCE) / 2, 50, (100 + _CONFIDENCE) / 2]) - 1
    return Difference(
        name=name,
        first_ms=first["p50_ms"],
        second_ms=second["p50_ms"],
        change=float(middle),
        low=float(low),
        high=float(high),
        stable=first["stable"] and second["stable"],
    )


def _medians(rounds_ms: list[list[float]], seed: int) -> NDArray[np.float64]:
    """Bootstrap samples of the median: rounds are resampled first, then the runs within each.

    Runs of one round are correlated, so resampling the runs alone would give intervals that are too narrow.
    """
    rng = np.random.default_rng(seed)
    rounds = [np.asarray(samples) for samples in rounds_ms]
    medians = np.empty(_DRAWS)
    for draw in range(_DRAWS):
        chosen = [rounds[index] for index in rng.integers(len(rounds), size=len(rounds))]
        medians[draw] = np.median(np.concatenate([rng.choice(samples, len(samples)) for samples in chosen]))
    return medians


def _rows(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    rows = {
        f"{network['name']}: {row['runtime']}": row["latency"] | {"stable": row["stable"]}
        for network in report["networks"]
        for row in network["rows"]
    }
    if (frame := report["frame"]) is not None:
        rows["whole frame"] = frame["latency"] | {"stable": frame["stable"]}
    return rows


def _read(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}; expected a report.json of amc-bench") from error
    if not isinstance(report, dict) or report.get("schema") != SCHEMA or "networks" not in report:
        found = report.get("schema") if isinstance(report, dict) else None
        raise InputError(
            f"{path} is not a report of this version of amc-bench: got schema {found}, expected {SCHEMA}. "
            "Fix: measure again with amc-bench"
        )
    return report
