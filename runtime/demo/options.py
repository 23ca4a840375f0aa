"""Options of `amc-demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Options of `serve`; each is a flag of `amc-demo`, `models` its arguments.

    max_frames and max_mib limit a video, max_waiting the visitors in the queue. port 0 selects a free one.
    """

    models: tuple[Path, ...] = ()
    flow: str | Path = "dis"
    device: str = "cpu"
    max_frames: int = 1500
    max_mib: int = 200
    max_waiting: int = 20
    port: int = 7860
