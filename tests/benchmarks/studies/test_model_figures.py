"""The tables of the bundled networks, from invented measurements; the goals are those of the script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from amcnet.benchmarks.studies._model_figures import GOALS, goals_table, quality_table, summary_table
from amcnet.benchmarks.studies.cpu_speed import variants_here
from amcnet.runtime.files.bundled_network import MODELS

SPEED = {
    "cpu-speed-light-bf16.json": {"ONNX Runtime fp32": 30.0, "OpenVINO int8": 24.0, "OpenVINO bf16": 20.04},
    "cpu-speed-light-avx2.json": {"ONNX Runtime fp32": 45.0},
    "cpu-speed-base-avx2.json": {"ONNX Runtime fp32": 60.0, "OpenVINO fp32": 57.2},
}
SCORES = {"davis16.json": 0.83, "davis16-int8.json": 0.82, "davis16-bf16.json": 0.825, "davis16-base.json": 0.859}
BYTES = {"amcnet-light.onnx": 9_000_000, "amcnet-light.int8.onnx": 6_100_000, "amcnet-base.onnx": 40_000_000}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """benchmarks/results of a repository with invented measurements."""
    folder = tmp_path / "benchmarks" / "results"
    folder.mkdir(parents=True)
    (tmp_path / "models" / "weights").mkdir(parents=True)
    for name, size in BYTES.items():
        with (tmp_path / "models" / "weights" / name).open("wb") as file:
            file.truncate(size)
    for name, rows in SPEED.items():
        _write(folder / name, {"amc-infer": {form: {"p50_ms": ms} for form, ms in rows.items()}, "machine": _machine()})
    for name, score in SCORES.items():
        _write(folder / name, _davis16(score))
    _write(folder / "run-resnet101-blackswan.json", {"backend": "OpenVINO 2026.4.1, CPU", "fps": 0.5})
    return folder


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))


def _machine(**changes: Any) -> dict[str, Any]:
    return {"processor": "a processor", "cores": 2} | changes


def _davis16(score: float) -> dict[str, Any]:
    """J is 0.01 above the mean of both, F as much below."""
    scores = {"J": {"mean": score + 0.01}, "F": {"mean": score - 0.01}}
    variant = {"sequences": {"a": scores, "b": scores}, "average": scores | {"J&F": score}}
    return {"variants": {"default": variant, "without motion": variant}}


def test_the_summary_has_a_row_for_each_measured_form(results: Path) -> None:
    assert summary_table(results).splitlines()[2:] == [
        "| `light`, FP32 | ONNX Runtime | 83.0 | 30 | 45 |",
        "| `light`, INT8 | OpenVINO | 82.0 | 24 | |",
        "| `light`, BF16 | OpenVINO | 82.5 | 20 | |",
        "| `base`, FP32 | ONNX Runtime | 85.9 | | 60 |",
        "| `base`, FP32 | OpenVINO | 85.9 | | 57 |",
        "| ResNet-101 and PWC-Net, untrained | OpenVINO | | 2000 | |",
        "",
        "On each kind of processor: 2 cores of a processor.",
    ]


def test_both_networks_are_columns_of_the_accuracy(results: Path) -> None:
    lines = quality_table(results).splitlines()
    assert lines[0].endswith("| `light` J | `light` F | `light` J&F | `base` J | `base` F | `base` J&F |")
    assert lines[2] == "| a | 84.0 | 82.0 | 83.0 | 86.9 | 84.9 | 85.9 |"
    assert lines[4:] == [
        "| **average, default** | 84.0 | 82.0 | 83.0 | 86.9 | 84.9 | 85.9 |",
        "| **average, without motion** | 84.0 | 82.0 | 83.0 | 86.9 | 84.9 | 85.9 |",
        "| **average, int8** | 83.0 | 81.0 | 82.0 |  |  |  |",
        "| **average, bf16** | 83.5 | 81.5 | 82.5 |  |  |  |",
    ]


def test_each_goal_is_met_or_missed(results: Path) -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in goals_table(results).splitlines()[2:9]]
    assert [(row[0], *row[2:]) for row in rows] == [
        ("`light`", "83 (at least 80.5)", "83.0", "met"),
        ("`light`", "25", "20.0 (OpenVINO, BF16)", "met"),
        ("`light`", "25", "45.0 (ONNX Runtime, FP32)", "missed"),
        ("`light`", "15", "15.1", "missed"),
        ("`base`", "86 (at least 83)", "85.9", "missed"),
        ("`base`", "57", "57.2 (OpenVINO, FP32)", "missed"),
        ("`base`", "40", "40.0", "met"),
    ]
    _write(results / "davis16-base.json", _davis16(0.8299))
    assert "| 83.0 | **missed, below the least** |" in goals_table(results), "compared before it is rounded"


def test_machines_that_differ_are_named(results: Path) -> None:
    other = json.loads((results / "cpu-speed-base-avx2.json").read_text())
    for model in MODELS:
        _write(results / f"cpu-speed-{model}-avx2.json", other | {"machine": _machine(cores=8)})
    for table in (summary_table(results), goals_table(results)):
        assert table.endswith("AVX-512 BF16: 2 cores of a processor; AVX2: 8 cores of a processor.\n")


@pytest.mark.parametrize("name", ["davis16-base.json", "davis16-bf16.json", "run-resnet101-blackswan.json"])
def test_a_missing_measurement_is_an_error(results: Path, name: str) -> None:
    (results / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        summary_table(results)


def test_a_network_without_any_speed_is_an_error(results: Path) -> None:
    (results / "cpu-speed-light-bf16.json").unlink()
    assert "AVX-512 BF16 | 25" not in goals_table(results), "the other processor is left"
    (results / "cpu-speed-light-avx2.json").unlink()
    for table in (summary_table, goals_table, quality_table):
        with pytest.raises(FileNotFoundError, match=r"cpu-speed-light-\*\.json"):
            table(results)


def test_every_network_has_goals() -> None:
    assert tuple(GOALS) == MODELS


@pytest.mark.parametrize("int8", [True, False])
def test_openvino_is_measured_in_int8_only_where_it_is_exact(monkeypatch: pytest.MonkeyPatch, int8: bool) -> None:
    monkeypatch.setattr("amcnet.benchmarks.studies.cpu_speed.multiplies_int8", lambda: int8)
    measured = variants_here("base")
    assert {variant.model for variant in measured} == {"base"}
    assert any((each.library, each.precision) == ("OpenVINO", "int8") for each in measured) is int8
