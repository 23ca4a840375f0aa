"""Progress of a build in TensorRT 10, 11 and TensorRT-RTX."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any


def progress_monitor(v10: ModuleType, on_phase: Callable[[str], None]) -> Any:
    """An `IProgressMonitor` that calls `on_phase` with lines such as "Building engine 2/6: Timing tactics"."""
    base: Any = v10.IProgressMonitor

    class Monitor(base):  # type: ignore[misc]
        """Reports the outermost phase with its progress, and the innermost phase that runs in it."""

        def __init__(self) -> None:
            super().__init__()
            self.running: dict[str, tuple[int, int]] = {}  # phase -> steps done, all steps; in order of start

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            self.running[name] = (0, steps)
            self.report()

        def step_complete(self, name: str, step: int) -> bool:
            if name in self.running:
                self.running[name] = (step + 1, self.running[name][1])
            self.report()
            return True

        def phase_finish(self, name: str) -> None:
            self.running.pop(name, None)

        def report(self) -> None:
            if self.running:
                (outer, (done, steps)), *inner = self.running.items()
                on_phase(f"{outer} {done}/{steps}" + (f": {inner[-1][0]}" if inner else ""))

    return Monitor()
