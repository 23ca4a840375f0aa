"""Noise of the machine before a measurement: jitter of a fixed loop, load average, other processes, steal time."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...runtime.machine_info import available_cores
from .machine_state import MAX_OTHERS_SHARE, MachineWatch

_LOOP = 50_000  # additions, about 1 ms
MAX_JITTER = 0.1
MAX_LOAD = 0.5


@dataclass(frozen=True, kw_only=True)
class Noise:
    """jitter: spread of a fixed loop, from its 10th to its 90th percentile, relative to its median.

    load: load average of one minute per core; None where the system has none. others_share, stolen_share: share of the
    CPU time of all cores that other processes and the hypervisor took.
    """

    jitter: float
    load: float | None
    others_share: float
    stolen_share: float

    @property
    def score(self) -> float:
        """Largest of the four values relative to its maximum: the machine is quiet up to 1."""
        return max(
            self.jitter / MAX_JITTER,
            (self.load or 0) / MAX_LOAD,
            self.others_share / MAX_OTHERS_SHARE,
            self.stolen_share / MAX_OTHERS_SHARE,
        )

    def warning(self) -> str | None:
        """What is noisy, and what to do about it; None for a quiet machine."""
        if self.score <= 1:
            return None
        load = "" if self.load is None else f"load average {self.load:.1f} per core, "
        return (
            f"the machine is noisy (score {self.score:.1f}, quiet up to 1): {load}jitter {self.jitter:.0%}, other "
            f"processes {self.others_share:.0%} and the hypervisor {self.stolen_share:.0%} of the CPU time. "
            "Wait and measure again, or go on and take the results as rough"
        )

    def to_json(self) -> dict[str, Any]:
        values = {name: None if value is None else round(value, 4) for name, value in asdict(self).items()}
        return values | {"score": round(self.score, 2)}


def measure_noise(seconds: float = 1.0) -> Noise:
    """Run the loop in one thread for `seconds`."""
    samples: list[float] = []
    with MachineWatch() as watch:
        end = time.perf_counter() + seconds
        while not samples or time.perf_counter() < end:
            begin = time.perf_counter()
            sum(range(_LOOP))
            samples.append(time.perf_counter() - begin)
    low, median, high = np.percentile(samples, (10, 50, 90))
    state = watch.report()
    load = watch.before.load
    return Noise(
        jitter=float((high - low) / median),
        load=None if load is None else load / available_cores(),
        others_share=state["others_share"],
        stolen_share=state["stolen_share"],
    )
