"""What is said of a machine that was busy, hot or not there."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from amcnet.benchmarks.latency.machine_state import MachineState, MachineWatch, trust

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


def test_what_linux_says_is_read(machine: tuple[Path, Path]) -> None:
    state = MachineState.now(*machine)
    assert (state.clock_mhz, state.governor, state.temperature_c) == (2500, "performance", 61)
    assert (state.throttled, state.load) == (7, 0.75)
    assert (state.busy_s, state.idle_s, state.stolen_s) == (15, 80, 2)
    assert state.commands_s == {77: ("a (b) c", 4)}


def test_a_machine_that_says_nothing_gives_an_empty_state(tmp_path: Path) -> None:
    state = MachineState.now(tmp_path, tmp_path)
    assert state.clock_mhz is state.temperature_c is state.throttled is state.load is None
    assert trust(state, state)["doubts"] == []


def test_a_quiet_machine_is_trusted() -> None:
    before = MachineState(busy_s=10, idle_s=10, own_s=5, clock_mhz=2500, throttled=7)
    after = MachineState(busy_s=20, idle_s=20, own_s=14.8, clock_mhz=2450, throttled=7)
    report = trust(before, after)
    assert report["doubts"] == []
    assert report["others_share"] == pytest.approx(0.01)


def test_each_trouble_is_named() -> None:
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
    assert trust(before, after)["doubts"] == [
        "other programs took 40% of the cores' time (make 20%, cc 15%)",
        "the host of this virtual machine took 10% of the cores' time",
        "the processor was throttled for its heat",
        "the clock went from 3000 to 2000 MHz",
    ]


def test_a_gpu_that_is_throttled_or_shared_is_said() -> None:
    gpu = {"throttle_reasons": ["heat"], "other_processes": 2}
    doubts = trust(MachineState(gpu=gpu), MachineState(gpu={"throttle_reasons": [], "other_processes": 2}))["doubts"]
    assert doubts == ["the GPU was throttled before (heat)", "2 other programs were on the GPU"]


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="only Linux says what others do")
def test_own_work_is_not_that_of_others() -> None:
    with MachineWatch() as watch:
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass
    own = watch.after.own_s - watch.before.own_s
    assert own >= 0.29
    assert watch.report()["seconds"] >= 0.3
    assert watch.after.busy_s - watch.before.busy_s >= own - 0.1
