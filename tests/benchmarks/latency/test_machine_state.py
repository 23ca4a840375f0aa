"""Warnings about a machine that is busy, hot or throttled."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from amcnet.benchmarks.latency.machine_state import MachineState, MachineWatch, stability

TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def machine(tmp_path: Path) -> tuple[Path, Path]:
    """A /proc and a /sys of a machine with two cores at 2.0 and 3.0 GHz, 61 °C, throttled seven times."""
    proc, sys = tmp_path / "proc", tmp_path / "sys"
    files = {
        proc / "stat": f"cpu {10 * TICKS} 0 {5 * TICKS} {80 * TICKS} 0 0 0 {2 * TICKS} 0 0\ncpu0 1 2\n",
        proc / "loadavg": "0.75 0.5 0.3 1/100 4242\n",
        proc / "77" / "stat": f"77 (a (b) c) S 1 1 1 0 -1 0 0 0 0 0 {3 * TICKS} {TICKS} 0 0 20 0 1\n",
        sys / "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "2000000\n",
        sys / "devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "3000000\n",
        sys / "devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
        sys / "devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "4\n",
        sys / "devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": "3\n",
        sys / "class/thermal/thermal_zone0/temp": "45000\n",
        sys / "class/thermal/thermal_zone1/temp": "61000\n",
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return proc, sys


def test_the_counters_of_linux_are_read(machine: tuple[Path, Path]) -> None:
    state = MachineState.now(*machine)
    assert (state.clock_mhz, state.governor, state.temperature_c) == (2500, "performance", 61)
    assert (state.throttled, state.load) == (7, 0.75)
    assert (state.busy_s, state.idle_s, state.stolen_s) == (15, 80, 2)
    assert state.commands_s == {77: ("a (b) c", 4)}


def test_missing_files_give_an_empty_state(tmp_path: Path) -> None:
    state = MachineState.now(tmp_path, tmp_path)
    assert state.clock_mhz is state.temperature_c is state.throttled is state.load is None
    assert stability(state, state)["warnings"] == []


def test_a_quiet_machine_has_no_warnings() -> None:
    before = MachineState(busy_s=10, idle_s=10, own_s=5, clock_mhz=2500, throttled=7)
    after = MachineState(busy_s=20, idle_s=20, own_s=14.8, clock_mhz=2450, throttled=7)
    report = stability(before, after)
    assert report["warnings"] == []
    assert report["others_share"] == pytest.approx(0.01)


def test_each_disturbance_is_named() -> None:
    before = MachineState(commands_s={5: ("make", 1.0)}, clock_mhz=3000, throttled=0)
    after = MachineState(
        busy_s=80,
        idle_s=10,
        stolen_s=10,
        own_s=40,
        clock_mhz=2000,
        throttled=1,
        commands_s={5: ("make", 21.0), 6: ("cc", 15.0), 7: ("sleep", 0.1)},
    )
    assert stability(before, after)["warnings"] == [
        "other processes used 40% of the CPU time (make 20%, cc 15%)",
        "the hypervisor took 10% of the CPU time (steal time)",
        "the processor was throttled because of its temperature",
        "the clock changed from 3000 to 2000 MHz",
    ]


def test_a_gpu_that_is_throttled_or_shared_is_named() -> None:
    gpu = {"throttle_reasons": ["temperature"], "other_processes": 2}
    warnings = stability(MachineState(gpu=gpu), MachineState(gpu={"throttle_reasons": [], "other_processes": 2}))[
        "warnings"
    ]
    assert warnings == ["the GPU was throttled before the measurement (temperature)", "2 other processes used the GPU"]


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="reads /proc of Linux")
def test_own_work_is_not_counted_as_other_load() -> None:
    with MachineWatch() as watch:
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass
    own = watch.after.own_s - watch.before.own_s
    assert round(own, 2) >= 0.29  # the system counts in hundredths
    assert watch.report()["seconds"] >= 0.3
    assert watch.after.busy_s - watch.before.busy_s >= own - 0.1
