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
from .latency import bootstrap_medians

TOLERANCE = 0.05
_CONFIDENCE = 95


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One row of both reports: medians in ms, and the relative change of the second one (0.1: 10 % slower).

    `change` and the ends `low` and `high` of its 95 % confidence interval are corrected for the speed of the machines,
    see `compare`. stable: neither report has a warning for the row.
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


def compare(first: Path, second: Path, *, across_machines: bool = False) -> list[Difference]:
    """The differences of the rows in both reports, matched by file and runtime; whole frames come last.

    Changes are corrected for that of the reference measurement, or with `across_machines` for that of the measured peak
    FLOP/s in the precision of the network (FP32 for whole frames): then 0 means the same share of the peak.
    Raises InputError for a file that is not a report of this version, if no row is in both, or for reports of different
    machines without `across_machines`.
    """
    one, other = _read(first), _read(second)
    machines = [_machine(report) for report in (one, other)]
    if machines[0] != machines[1] and not across_machines:
        raise InputError(
            f"{first} is of {machines[0]}, {second} of {machines[1]}; expected reports of the same machine. Fix: "
            "--across-machines compares the shares of their measured peaks"
        )
    rows, others = _rows(one), _rows(other)
    common = [name for name in rows if name in others]
    if not common:
        raise InputError(
            f"no row is in both reports: {first} has {', '.join(rows)}; {second} has {', '.join(others)}; expected two "
            "reports of the same files"
        )
    if across_machines:
        peaks = {name: _peak(one, name) / _peak(other, name) for name in common}
        return [_difference(name, rows[name], others[name], peaks[name]) for name in common]
    machine = bootstrap_medians(other["reference"]["rounds_ms"], 3) / bootstrap_medians(
        one["reference"]["rounds_ms"], 4
    )
    return [_difference(name, rows[name], others[name], machine) for name in common]


def _machine(report: dict[str, Any]) -> str:
    """Processor, cores and GPU of a report, for the comparison and for messages."""
    environment = report["environment"]
    gpu = f" with {environment['gpu']}" if environment["gpu"] else ""
    return f"{environment['processor']} ({environment['cores']} cores){gpu}"


def _peak(report: dict[str, Any], row: str) -> float:
    """Measured peak FLOP/s of the machine in the precision of the network of `row`; FP32 if that was not measured."""
    precision = {network["name"]: network["precision"] for network in report["networks"]}.get(row.partition(": ")[0])
    peaks: dict[str, float] = report["measured_peaks"]["flops_per_second"]
    return peaks.get(precision or "fp32", peaks["fp32"])


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


def _difference(
    name: str, first: dict[str, Any], second: dict[str, Any], machine: NDArray[np.float64] | float
) -> Difference:
    """`machine`: time that the second machine takes for the work of the first one; bootstrap samples, or one value."""
    ratios = bootstrap_medians(second["rounds_ms"], 2) / bootstrap_medians(first["rounds_ms"], 1) / machine
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
