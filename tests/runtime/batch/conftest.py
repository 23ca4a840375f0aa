"""Fixtures for the tests of `amc-batch`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amcnet.runtime.batch.options import BatchOptions
from amcnet.runtime.infer import InferOptions

Options = Callable[..., BatchOptions]


@pytest.fixture
def faulty_segment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`faults.segment`, importable by the worker processes, which take over this process's search path."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    segment: Callable[..., Any] = importlib.import_module("faults").segment
    return segment


@pytest.fixture
def options(tmp_path: Path, amcnet_onnx: Path) -> Options:
    """`options(**changes)`: all videos in tmp_path/videos, by the tiny network, to tmp_path/out."""

    def make(*, infer: dict[str, Any] | None = None, **changes: Any) -> BatchOptions:
        each = InferOptions(**{"source": "", "output": "", "amcnet": amcnet_onnx} | (infer or {}))
        values = {"sources": (str(tmp_path / "videos"),), "output": tmp_path / "out", "infer": each} | changes
        return BatchOptions(**values)

    return make


@pytest.fixture
def make_videos(tmp_path: Path, make_clip: Callable[..., Path]) -> Callable[..., None]:
    """`make_videos("day1/a", "b", frames=4)` writes clips of that name to tmp_path/videos."""

    def make(*names: str, frames: int = 4) -> None:
        for name in names:
            path = tmp_path / "videos" / f"{name}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            make_clip(path, frames=frames)

    return make
