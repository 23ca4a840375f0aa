"""The committed reports of amc-bench: what they count is what is known, and the page can be built of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from amcnet.benchmarks.bench import SCHEMA
from amcnet.benchmarks.bench_compare import compare
from amcnet.benchmarks.bench_markdown import report_markdown
from amcnet.benchmarks.bench_page import report_page

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
REPORTS = ("cpu.json", "cpu-paper.json")


def _load(name: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((RESULTS / name).read_text())
    return report


@pytest.mark.parametrize("name", REPORTS)
def test_a_page_is_built_of_it(name: str) -> None:
    report = _load(name)
    assert report["schema"] == SCHEMA
    for text in (report_page(report), report_markdown(report)):
        for network in report["networks"]:
            assert network["name"] in text
            assert f"{network['rows'][0]['latency']['p50_ms']:.1f}" in text


def test_the_papers_networks_cost_what_is_known() -> None:
    amcnet, pwcnet = _load("cpu-paper.json")["networks"]
    assert amcnet["cost"]["flops"] / 2 == pytest.approx(81.8e9, rel=1e-3)
    assert amcnet["size"] == [384, 384]
    assert amcnet["rows"][0]["target"]["same_network"] is True
    assert pwcnet["cost"]["flops"] / 2 == pytest.approx(27e9, rel=0.02)


def test_nothing_computes_faster_than_the_machine_can() -> None:
    for report in map(_load, REPORTS):
        for network in report["networks"]:
            for row in network["rows"]:
                # Left alone, OpenVINO rounds to bf16, for which a CPU may have units of their own.
                if "bf16" not in row["way"]:
                    assert row["achieved"]["share_of_compute"] < 1, row["way"]


def test_a_second_run_agrees() -> None:
    differences = compare(RESULTS / "cpu.json", RESULTS / "cpu-again.json")
    assert differences
    assert not [row.name for row in differences if row.is_regression(0.05) or row.high < -0.05]
