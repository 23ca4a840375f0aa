"""The committed reports of amc-bench and gpu_check have the current schema, and can be rendered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from amcnet.benchmarks.latency.bench import SCHEMA
from amcnet.benchmarks.latency.report_html import report_page
from amcnet.benchmarks.latency.report_markdown import report_markdown
from amcnet.runtime.output.kinds import KINDS

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"
REPORTS = ("cpu.json", "cpu-paper.json")


def _load(name: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((RESULTS / name).read_text())
    return report


@pytest.mark.parametrize("name", REPORTS)
def test_a_committed_report_can_be_rendered(name: str) -> None:
    report = _load(name)
    assert report["schema"] == SCHEMA
    for text in (report_page(report), report_markdown(report)):
        for network in report["networks"]:
            assert network["name"] in text
            assert f"{network['rows'][0]['latency']['p50_ms']:.1f}" in text


def test_estimates_of_outputs_are_the_measured_sizes() -> None:
    measured = {kind: row["bytes_per_pixel"] for kind, row in _load("output-sizes.json")["kinds"].items()}
    estimated = {name: kind.bytes_per_pixel for name, kind in KINDS.items()}
    assert estimated == pytest.approx(measured, abs=0.001)
