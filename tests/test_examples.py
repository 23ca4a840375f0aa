"""Runs of the programs in examples/."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from amcnet.benchmarks.demo_clip import render_frame, write_clip

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TESTED = {"segment_video.py", "own_frames.py", "export_quantize_run.py"}
FRAMES = 6


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("examples") / "clip.mp4"
    write_clip(path, FRAMES)
    return path


def _run(name: str, *arguments: Path) -> str:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_each_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == TESTED


def test_segment_video(clip: Path, tmp_path: Path) -> None:
    printed = _run("segment_video.py", clip, tmp_path / "masks")
    assert len(printed.splitlines()) == FRAMES
    masks = sorted((tmp_path / "masks").iterdir())
    assert [path.name for path in masks] == [f"{index:05d}.png" for index in range(FRAMES)]
    for index, path in enumerate(masks):
        mask, (_, truth) = cv2.imread(str(path), cv2.IMREAD_UNCHANGED), render_frame(index)
        assert mask is not None
        assert set(np.unique(mask)) <= {0, 255}
        assert (truth & (mask > 0)).sum() / (truth | (mask > 0)).sum() > 0.8


def test_own_frames_from_an_array(tmp_path: Path) -> None:
    np.save(tmp_path / "clip.npy", np.stack([render_frame(index)[0] for index in range(FRAMES)]))
    lines = _run("own_frames.py", tmp_path / "clip.npy").splitlines()
    assert len(lines) == FRAMES
    shares = [float(line.split("covers ")[1].split(" %")[0]) for line in lines]
    truth = 100 * np.mean([render_frame(index)[1].mean() for index in range(FRAMES)])
    assert np.mean(shares) == pytest.approx(truth, rel=0.2)


@pytest.mark.slow
def test_export_quantize_run(clip: Path, tmp_path: Path) -> None:
    printed = _run("export_quantize_run.py", clip, tmp_path)
    assert (tmp_path / "amcnet.onnx").exists()
    assert (tmp_path / "amcnet.int8.onnx").exists()
    assert f"over {FRAMES} frames" in printed
    assert float(printed.split("masks: ")[1].split(" over")[0]) > 0.8
