"""The energy of a processor, from a folder with the files of RAPL."""

from __future__ import annotations

from pathlib import Path

import pytest

from amcnet.benchmarks.latency.energy import EnergyCounters


def _zone(sys: Path, folder: str, name: str, energy_uj: int) -> Path:
    zone = sys / "class/powercap" / folder
    zone.mkdir(parents=True)
    for file, text in {"name": name, "energy_uj": energy_uj, "max_energy_range_uj": 1_000_000}.items():
        (zone / file).write_text(f"{text}\n")
    return zone / "energy_uj"


def test_the_packages_are_added_up(tmp_path: Path) -> None:
    first = _zone(tmp_path, "intel-rapl:0", "package-0", 100_000)
    second = _zone(tmp_path, "intel-rapl:1", "package-1", 900_000)
    part = _zone(tmp_path, "intel-rapl:0:0", "core", 50_000)
    board = _zone(tmp_path, "intel-rapl:2", "psys", 70_000)
    counters = EnergyCounters.of_machine(tmp_path)
    before = counters.read()
    assert before == (100_000, 900_000)
    for path in (first, part, board):
        path.write_text("600000\n")
    second.write_text("150000\n")  # behind its range it begins again
    assert counters.joules(before, counters.read()) == pytest.approx(0.5 + 0.25)


def test_without_counters_there_is_no_energy(tmp_path: Path) -> None:
    counters = EnergyCounters.of_machine(tmp_path)
    assert counters.joules(counters.read(), counters.read()) is None


def test_a_counter_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    _zone(tmp_path, "intel-rapl:0", "package-0", 100_000)
    unreadable = _zone(tmp_path, "intel-rapl:1", "package-1", 0)
    unreadable.unlink()
    unreadable.mkdir()  # reading it raises OSError, for root too
    assert EnergyCounters.of_machine(tmp_path).paths == ()
