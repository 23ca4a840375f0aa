"""Options of a latency measurement."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .latency import MeasureOptions

_QUICK_LIMIT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Options of `bench`, named as those of `amc-bench`; `baselines` is `--against baselines`.

    files: ONNX files and engines of AMC-Net, PWC-Net and RAFT (default: those of the bundled network `model`). video:
    the source of the input frames (default: a rendered clip). baselines: measure other libraries too, each loaded
    within `baseline_limit` seconds. checkpoint: weights for PyTorch. quick: take half a minute, in place of the limits
    of `measure`.
    """

    files: tuple[Path, ...] = ()
    model: str = "light"
    video: Path | None = None
    baselines: bool = False
    baseline_limit: float = 120.0
    checkpoint: Path | None = None
    device: str = "cpu"
    measure: MeasureOptions = field(default_factory=MeasureOptions)
    scaling: bool = False
    quick: bool = False

    @property
    def limit_s(self) -> float:
        """Seconds in which a baseline must be ready."""
        return min(self.baseline_limit, _QUICK_LIMIT_S) if self.quick else self.baseline_limit

    @property
    def least_runs(self) -> int:
        """Runs of a baseline that is slower than all limits."""
        return (MeasureOptions.quick(1) if self.quick else self.measure).least_runs
