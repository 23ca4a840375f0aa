"""The demo: its footage, its two results, and the animation of the README."""

from __future__ import annotations

import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from amcnet import Segmenter
from amcnet.benchmarks import demo
from amcnet.benchmarks.studies.readme_picture import write_animation

ROOT = Path(__file__).resolve().parents[2]
# (x, y) in frames 40 to 51 of the footage: the belly of the rabbit; meadow, wall and sky.
BELLY, SCENERY = [(310, 280), (320, 340)], [(780, 420), (640, 250), (830, 100)]


def test_the_footage_is_small_and_attributed() -> None:
    assert demo.FOOTAGE.stat().st_size <= 400_000
    with av.open(str(demo.FOOTAGE)) as container:
        assert "Blender Foundation" in container.metadata["copyright"]
        assert "CC BY 3.0" in container.metadata["copyright"]
        frames = [frame.to_ndarray(format="rgb24").shape for frame in container.decode(video=0)]
    assert frames == [(480, 854, 3)] * 100
    assert "Blender Foundation" in (demo.FOOTAGE.parent / "README.md").read_text()


def test_the_bundled_network_segments_the_footage() -> None:
    with Segmenter.load(precision="fp32") as segmenter:
        masks = [m.mask for m in segmenter.video(demo.FOOTAGE, start=40, frames=12)]
    assert len(masks) == 12
    for mask in masks:
        assert all(mask[y, x] for x, y in BELLY)
        assert not any(mask[y, x] for x, y in SCENERY)


@pytest.mark.slow
def test_both_clips_are_segmented_and_results_are_named(
    tmp_path: Path, amcnet_onnx: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["demo", "--amcnet", str(amcnet_onnx), "-o", str(tmp_path / "demo")])
    assert demo.main() == 0
    printed = capsys.readouterr().out
    for name, frames in (("big-buck-bunny", 100), ("drawn", demo.DRAWN_FRAMES)):
        folder = tmp_path / "demo" / name
        assert f"{frames} frames" in printed
        assert str(folder / "overlay.mp4") in printed
        assert str(folder / "masks") in printed
        assert len(list((folder / "masks").iterdir())) == frames
        assert (folder / "overlay.mp4").stat().st_size > 0
    assert "mean IoU with the true masks" in printed


def test_the_animation_keeps_its_frames(tmp_path: Path) -> None:
    frames = [np.full((24, 64, 3), gray, np.uint8) for gray in (0, 128, 255)]
    write_animation(tmp_path / "a.webp", frames, quality=60)
    with Image.open(tmp_path / "a.webp") as image:
        assert (image.n_frames, image.size) == (3, (64, 24))  # type: ignore[attr-defined]


def test_the_readme_starts_with_a_small_animation() -> None:
    (path,) = [ROOT / line[line.index("(") + 1 : -1] for line in _lines() if line.startswith("![")]
    assert path.stat().st_size < 1_500_000
    with Image.open(path) as image:
        assert image.n_frames > 10  # type: ignore[attr-defined]


def _lines() -> list[str]:
    return (ROOT / "README.md").read_text().splitlines()[:10]
