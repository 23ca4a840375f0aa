"""Energy of the processor, from the RAPL counters that Linux has for Intel and AMD."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class EnergyCounters:
    """The counter of each processor package in microjoules, which begins again at 0 behind its `ranges_uj`.

        counters = EnergyCounters.of_machine()
        before = counters.read()
        ...
        joules = counters.joules(before, counters.read())

    A counter is that of the whole package: it has the energy of other programs too. Its memory is not in it. Most
    systems let only root read it, and virtual machines have none.
    """

    paths: tuple[Path, ...]
    ranges_uj: tuple[int, ...]

    @classmethod
    def of_machine(cls, sys: Path = Path("/sys")) -> Self:
        """The counters below `sys`; none of them if one cannot be read."""
        packages = [path.parent for path in sorted(sys.glob("class/powercap/intel-rapl:*/name")) if _is_package(path)]
        with suppress(OSError, ValueError):
            ranges_uj = tuple(_integer(package / "max_energy_range_uj") for package in packages)
            counters = cls(tuple(package / "energy_uj" for package in packages), ranges_uj)
            counters.read()
            return counters
        return cls((), ())

    def read(self) -> tuple[int, ...]:
        """The values of the counters, in microjoules. Raises OSError."""
        return tuple(_integer(path) for path in self.paths)

    def joules(self, before: tuple[int, ...], after: tuple[int, ...]) -> float | None:
        """The energy between two calls of `read`, less than an hour apart; None without counters."""
        if not self.paths:
            return None
        spent_uj = (
            last - first if last >= first else last - first + range_uj
            for first, last, range_uj in zip(before, after, self.ranges_uj, strict=True)
        )
        return sum(spent_uj) / 1e6


def _is_package(name: Path) -> bool:
    """Other zones are parts of a package, or the whole board."""
    with suppress(OSError):
        return name.read_text().startswith("package")
    return False


def _integer(path: Path) -> int:
    return int(path.read_text())
