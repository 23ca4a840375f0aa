"""Studies of whole runs: their clips and programs on a short video, and their tables."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import av
import numpy as np
import pytest

from amcnet.benchmarks.demo_clip import write_clip
from amcnet.benchmarks.studies._speed_figures import frames_at_once_table, peers_table
from amcnet.benchmarks.studies._whole_runs import scale_clip
from amcnet.benchmarks.studies.frames_at_once import open_segmenters
from amcnet.benchmarks.studies.peer_loops import OURS, open_loops
from amcnet.benchmarks.studies.resolutions import floor
from amcnet.runtime.infer import InferOptions, infer
from amcnet.runtime.metrics.mask_iou import mask_iou
from amcnet.runtime.output.mask_files import read_mask
from amcnet.runtime.video.reader import open_frames

FRAMES = 4


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    write_clip(tmp_path / "clip.mp4", FRAMES)
    return tmp_path / "clip.mp4"


def _size_and_frames(path: Path) -> tuple[int, int, int]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.width, stream.height, sum(1 for _ in container.decode(stream))


def test_a_scaled_clip_and_its_floor(clip: Path, tmp_path: Path) -> None:
    scale_clip(clip, tmp_path / "small.mp4", (426, 240), FRAMES - 1)
    assert _size_and_frames(tmp_path / "small.mp4") == (426, 240, FRAMES - 1)
    times = floor(tmp_path / "small.mp4", tmp_path / "copy.mp4")
    assert _size_and_frames(tmp_path / "copy.mp4") == (426, 240, FRAMES - 1)
    assert min(times.values()) > 0
    with open_frames(tmp_path / "small.mp4") as before, open_frames(tmp_path / "copy.mp4") as after:
        for one, other in zip(before, after, strict=True):
            assert np.abs(one.pixels.astype(int) - other.pixels).mean() < 3


def test_the_other_programs_write_the_same_masks(clip: Path, tmp_path: Path) -> None:
    infer(InferOptions(source=clip, output=tmp_path / "expected", temporal=False))
    expected = [read_mask(path) for path in sorted((tmp_path / "expected" / "masks").iterdir())]
    with ExitStack() as stack:
        loops, _ = open_loops(stack)
        for name, run in loops.items():
            run(clip, tmp_path / name)
            masks = [read_mask(path) for path in sorted((tmp_path / name / "masks").iterdir())]
            assert len(masks) == FRAMES
            # Ours are filtered in time; OpenCV converts the colors in another way, and ONNX Runtime computes in FP32.
            assert min(map(mask_iou, masks, expected)) > (0.9 if name == OURS else 0.97), name
            assert _size_and_frames(tmp_path / name / "overlay.mp4") == (854, 480, FRAMES)


def test_each_choice_computes_so_many_frames_at_once(clip: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        segmenters = open_segmenters("fp32", stack)
        for (_, threads), segmenter in segmenters.items():
            assert f", {threads} thread" in segmenter.network.name
        assert {at_once for at_once, _ in segmenters} >= {1, 2, 3, 4}
        report = infer(InferOptions(source=clip, output=tmp_path / "out"), segmenter=segmenter)
    assert report["frames"] == FRAMES


def test_tables(tmp_path: Path) -> None:
    study = {"rounds": 1, "frames": 40, "load_average": [2.0, 0.4], "machine": {"processor": "CPU", "cores": 2}}
    row = {"wall_ms": 25.04, "processor_ms": 40.0, "ratio": 1.0, "ratio_min": 0.9, "ratio_max": 1.2}
    loops = {OURS: row, "other": row | {"ratio": 1.5}}
    (tmp_path / "peer-loops.json").write_text(json.dumps(study | {"loops": loops, "backend": "a library"}))
    text = peers_table(tmp_path)
    assert f"| {OURS} | 25.0 | 40.0 |  |\n| other | 25.0 | 40.0 | 1.50 (0.90 to 1.20) |\n" in text
    assert "Medians of 1 run of 40 frames; 2 cores of CPU, load 0 to 2; `amc-infer`: a library.\n" in text

    choices = [row | {"frames_at_once": 2, "threads": 1}, row | {"frames_at_once": 1, "threads": 2}]
    fixed = study | {"precisions": {"fp32": choices, "int8": choices}, "pays": []}
    (tmp_path / "frames-at-once.json").write_text(json.dumps(fixed))
    text = frames_at_once_table(tmp_path)
    assert "| 2, 1 (as in `amc-infer`) | 25.0 ms | 25.0 ms |\n| 1, 2 | 1.00 (0.90 to 1.20) |" in text
    assert "by 3 % in the median: none. " in text
