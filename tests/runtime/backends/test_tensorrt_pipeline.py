"""pipeline.engine on a fake GPU: masks, one upload per frame, overlapping streams, and clips left early."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

OnFakeGpu = Callable[..., subprocess.CompletedProcess[str]]
MakeEngine = Callable[..., Path]
IMPORTS = """
import sys
import numpy as np
from amcnet import AmcNetError
from amcnet.runtime.trt.card import EngineFile
from amcnet.runtime.backends.open_backend import open_pipeline
from amcnet.runtime.frame import Frame
from amcnet.runtime.stage_times import StageTimes

def clip(count, seed=0, size=(48, 64)):
    rng = np.random.default_rng(seed)
    for index in range(count):
        pixels = rng.integers(0, 256, (*size, 3), np.uint8)
        yield Frame(pixels=pixels, index=index, pts=index, pts_seconds=index)

def expected(frame, partner):
    return frame.pixels[..., 0] / 512 + partner.pixels[..., 1] / 1024

def compare(answers, frames):
    for index, (frame, mask) in enumerate(answers):
        partner = frames[index + 1] if index + 1 < len(frames) else frames[max(index - 1, 0)]
        assert frame is frames[index]
        assert mask.dtype == np.float32
        np.testing.assert_array_equal(mask, expected(frame, partner).astype(np.float32))

file = EngineFile.read(sys.argv[1])
times = StageTimes()
"""


def _done(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("recordable", [True, False])
def test_each_frame_is_paired_with_the_next(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path, recordable: bool
) -> None:
    code = """
with open_pipeline(file) as pipeline:
    print(pipeline.name)
    for seed, count in enumerate((0, 1, 2, 3, 4, 11)):
        frames = list(clip(count, seed))
        answers = list(pipeline.masks(iter(frames), times))
        assert len(answers) == count
        compare(answers, frames)
print(list(times.quantiles_ms()))
"""
    engine = make_engine(tmp_path / "x.engine", "pipeline", not_recordable=not recordable)
    name, stages = _done(on_fake_gpu(IMPORTS + code, engine)).splitlines()
    assert name.endswith("fp16, a CUDA graph" if recordable else "fp16, no CUDA graph")
    assert stages == "['upload', 'network']"


def test_a_live_mask_needs_only_the_next_frame(on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path) -> None:
    code = """
asked = []

def camera(frames):
    for frame in frames:
        asked.append(frame.index)
        yield frame

with open_pipeline(file) as pipeline:
    for count in (0, 1, 2, 7):
        frames, answers, delays = list(clip(count)), [], []
        for answer in pipeline.masks(camera(frames), times, ahead=0):
            delays.append(asked[-1] - answer[0].index)
            answers.append(answer)
        assert delays == [1] * (count - 1) + [0] * (count > 0), delays
        compare(answers, frames)
"""
    _done(on_fake_gpu(IMPORTS + code, make_engine(tmp_path / "x.engine", "pipeline")))


def test_each_frame_is_uploaded_once_and_stages_overlap(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path
) -> None:
    code = """
with open_pipeline(file) as pipeline:
    frames = list(clip(12))
    compare(pipeline.masks(iter(frames), times), frames)
"""
    log = tmp_path / "log"
    engine = make_engine(tmp_path / "x.engine", "pipeline", seconds=0.02)
    _done(on_fake_gpu(IMPORTS + code, engine, FAKE_CUDA_LOG=log, FAKE_CUDA_COPY_US=10_000))
    rows = [(what, int(begin), int(end)) for _, what, begin, end in map(str.split, log.read_text().splitlines())]
    done = Counter(what for what, _, _ in rows)
    assert (done["upload"], done["download"]) == (12, 12), "a frame up and a mask down, each once"
    assert done["context-made"] == 1
    assert done["graph"] == 11, "all pairs but the last, which is seen backwards"
    for copy in ("upload", "download"):
        copies = [(begin, end) for what, begin, end in rows if what == copy]
        computing = [(begin, end) for what, begin, end in rows if what == "compute"]
        overlapping = sum(any(s < y and x < e for x, y in computing) for s, e in copies)
        assert overlapping >= 8, f"{overlapping} of 12 {copy}s beside the network"
    assert rows[-1][0] == "released:memories=0,streams=0,events=0,graphs=0"


def test_a_clip_that_is_left_early_does_not_disturb_the_next(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path
) -> None:
    code = """
with open_pipeline(file) as pipeline:
    for left_after in range(5):
        early = pipeline.masks(clip(20, seed=99), times)
        for _ in range(left_after):
            next(early)
        early.close()
        frames = list(clip(5, left_after))
        compare(pipeline.masks(iter(frames), times), frames)
    next(pipeline.masks(clip(20), times))  # left while the GPU is at work
"""
    log = tmp_path / "log"
    engine = make_engine(tmp_path / "x.engine", "pipeline", seconds=0.005)
    _done(on_fake_gpu(IMPORTS + code, engine, FAKE_CUDA_LOG=log, FAKE_CUDA_COPY_US=5_000))
    assert log.read_text().splitlines()[-1].startswith("0 released:memories=0,streams=0,events=0,graphs=0")


def test_errors_are_raised_after_the_masks_before_them(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path
) -> None:
    code = """
def broken(count, last):
    yield from clip(count)
    yield from last()

def raises():
    raise ValueError("out of the frames")
    yield

def run(frames):
    answers = []
    try:
        for answer in pipeline.masks(frames, times):
            answers.append(answer)
    except (AmcNetError, ValueError) as error:
        print(len(answers), error)
    frames = list(clip(len(answers) + 1))
    for (frame, mask), known, partner in zip(answers, frames, frames[1:]):
        np.testing.assert_array_equal(mask, expected(known, partner).astype(np.float32))

with open_pipeline(file) as pipeline:
    run(broken(4, raises))
    run(broken(3, lambda: clip(1, size=(10, 20))))
    run(clip(2, size=(10, 20)))
"""
    engine = make_engine(tmp_path / "x.engine", "pipeline")
    raised, other_size, first = _done(on_fake_gpu(IMPORTS + code, engine)).splitlines()
    assert raised == "3 out of the frames"
    message = (
        "frame 0 is 20x10; expected 64x48 for {}. Export and build it for the video's size: "
        "export-onnx pipeline --video-s"
    )
    assert other_size.startswith(f"2 {message.format(engine)}")
    assert first.startswith(f"0 {message.format(engine)}")
    assert first.endswith("--video-size 20x10")
