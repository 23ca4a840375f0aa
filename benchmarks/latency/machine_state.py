"""State of the machine before and after a measurement: clocks, temperature, throttling, load of other processes."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

MAX_OTHERS_SHARE = 0.05  # of the CPU time of all cores, used by other processes or by the hypervisor
_MAX_CLOCK_CHANGE = 0.10
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True, kw_only=True)
class MachineState:
    """Counters of Linux at one moment, None or empty where they are not available; of the first GPU too, through NVML.

    busy_s, idle_s, stolen_s: CPU seconds of all cores since boot: busy, idle, and used by the hypervisor for others.
    own_s: CPU seconds of this process. commands_s: process id -> (name, CPU seconds) of all other processes.
    """

    clock_mhz: float | None = None
    governor: str | None = None
    temperature_c: float | None = None
    throttled: int | None = None
    load: float | None = None
    busy_s: float = 0.0
    idle_s: float = 0.0
    stolen_s: float = 0.0
    own_s: float = 0.0
    commands_s: dict[int, tuple[str, float]] = field(default_factory=dict)
    gpu: dict[str, Any] | None = None

    @classmethod
    def now(cls, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> Self:
        """Read `proc` and `sys`; a missing file leaves its field empty."""
        user, nice, system, idle, waiting, irq, soft_irq, stolen = _cpu_seconds(proc)
        times = os.times()
        return cls(
            clock_mhz=_clock_mhz(proc, sys),
            governor=_text(sys / "devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            temperature_c=_temperature_c(sys),
            throttled=_throttled(sys),
            load=_number((_text(proc / "loadavg") or "").partition(" ")[0]),
            busy_s=user + nice + system + irq + soft_irq,
            idle_s=idle + waiting,
            stolen_s=stolen,
            own_s=times.user + times.system + times.children_user + times.children_system,
            commands_s=_commands_s(proc),
            gpu=_gpu(),
        )

    def to_json(self) -> dict[str, Any]:
        names = ("clock_mhz", "governor", "temperature_c", "throttled", "load", "gpu")
        return {name: getattr(self, name) for name in names}


class MachineWatch:
    """Compare the state of the machine before and after a `with` block.

    with MachineWatch() as watch:
        ...
    watch.report()["warnings"]
    """

    def __enter__(self) -> Self:
        self.before, self._begin = MachineState.now(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.after, self.seconds = MachineState.now(), time.perf_counter() - self._begin

    def report(self) -> dict[str, Any]:
        """The entry "stability" of report.json."""
        return stability(self.before, self.after) | {"seconds": round(self.seconds, 1)}


def stability(before: MachineState, after: MachineState) -> dict[str, Any]:
    """Shares of CPU time of other processes, the busiest of them, and `warnings`, empty for an idle machine."""
    total = max(
        sum(getattr(after, name) - getattr(before, name) for name in ("busy_s", "idle_s", "stolen_s")), 1 / _TICKS
    )
    others = max(after.busy_s - before.busy_s - (after.own_s - before.own_s), 0) / total
    stolen = (after.stolen_s - before.stolen_s) / total
    by_name: dict[str, float] = {}
    for number, (name, seconds) in after.commands_s.items():
        spent = (seconds - before.commands_s.get(number, (name, 0.0))[1]) / total
        if spent > 0.01:
            by_name[name] = round(by_name.get(name, 0) + spent, 3)
    busiest = dict(sorted(by_name.items(), key=lambda item: -item[1])[:5])
    return {
        "before": before.to_json(),
        "after": after.to_json(),
        "others_share": round(others, 4),
        "stolen_share": round(stolen, 4),
        "busiest_others": busiest,
        "warnings": list(_warnings(before, after, others, stolen, busiest)),
    }


def _warnings(
    before: MachineState, after: MachineState, others: float, stolen: float, busiest: dict[str, float]
) -> Iterable[str]:
    if others > MAX_OTHERS_SHARE:
        names = ", ".join(f"{name} {share:.0%}" for name, share in busiest.items())
        if sum(busiest.values()) < others / 2:
            names += f"{', ' if names else ''}the rest by processes that have ended"
        yield f"other processes used {others:.0%} of the CPU time" + (f" ({names})" if names else "")
    if stolen > MAX_OTHERS_SHARE:
        yield f"the hypervisor took {stolen:.0%} of the CPU time (steal time)"
    if (after.throttled or 0) > (before.throttled or 0):
        yield "the processor was throttled because of its temperature"
    if before.clock_mhz and after.clock_mhz and abs(after.clock_mhz / before.clock_mhz - 1) > _MAX_CLOCK_CHANGE:
        yield f"the clock changed from {before.clock_mhz:.0f} to {after.clock_mhz:.0f} MHz"
    for state, when in ((before.gpu, "before"), (after.gpu, "after")):
        if state and state["throttle_reasons"]:
            yield f"the GPU was throttled {when} the measurement ({', '.join(state['throttle_reasons'])})"
    if before.gpu and before.gpu["other_processes"]:
        yield f"{before.gpu['other_processes']} other processes used the GPU"


def _cpu_seconds(proc: Path) -> list[float]:
    fields = (_text(proc / "stat") or "").partition("\n")[0].split()[1:9]
    return [float(value) / _TICKS for value in fields] if len(fields) == 8 else [0.0] * 8


def _clock_mhz(proc: Path, sys: Path) -> float | None:
    """Mean clock of the cores."""
    khz = [_number(_text(path)) for path in sys.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")]
    mhz = [value / 1e3 for value in khz if value] or [
        float(line.partition(":")[2])
        for line in (_text(proc / "cpuinfo") or "").splitlines()
        if line.startswith("cpu MHz")
    ]
    return round(sum(mhz) / len(mhz), 1) if mhz else None


def _temperature_c(sys: Path) -> float | None:
    """Temperature of the hottest zone."""
    milli = [_number(_text(path)) for path in sys.glob("class/thermal/thermal_zone*/temp")]
    return max((value / 1e3 for value in milli if value), default=None)


def _throttled(sys: Path) -> int | None:
    """Number of thermal throttling events of all cores."""
    counts = [
        _number(_text(path)) for path in sys.glob("devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count")
    ]
    return int(sum(value or 0 for value in counts)) if counts else None


def _commands_s(proc: Path) -> dict[int, tuple[str, float]]:
    """Name and CPU seconds of all other visible processes, by process id."""
    commands = {}
    for path in proc.glob("[0-9]*/stat"):
        if int(path.parent.name) == os.getpid() or (text := _text(path)) is None:
            continue
        name, _, rest = text.partition("(")[2].rpartition(")")
        fields = rest.split()
        commands[int(path.parent.name)] = (name, (int(fields[11]) + int(fields[12])) / _TICKS)  # utime, stime
    return commands


def _gpu() -> dict[str, Any] | None:
    """State of the first GPU, read through NVML (pip install nvidia-ml-py)."""
    try:
        pynvml: Any = importlib.import_module("pynvml")
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        reasons = pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu)
        named = {
            "temperature": pynvml.nvmlClocksThrottleReasonHwThermalSlowdown
            | pynvml.nvmlClocksThrottleReasonSwThermalSlowdown,
            "power": pynvml.nvmlClocksThrottleReasonSwPowerCap | pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown,
        }
        processes = [process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)]
        return {
            "name": str(pynvml.nvmlDeviceGetName(gpu)),
            "clock_mhz": pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM),
            "max_clock_mhz": pynvml.nvmlDeviceGetMaxClockInfo(gpu, pynvml.NVML_CLOCK_SM),
            "memory_clock_mhz": pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_MEM),
            "temperature_c": pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU),
            "throttle_reasons": [name for name, bits in named.items() if reasons & bits],
            "other_processes": sum(process != os.getpid() for process in processes),
        }
    except Exception:  # no package, driver or GPU, or a query that the GPU does not support
        return None


def _text(path: Path) -> str | None:
    with suppress(OSError):
        return path.read_text().strip()
    return None


def _number(text: str | None) -> float | None:
    with suppress(TypeError, ValueError):
        return float(text)  # type: ignore[arg-type]
    return None
