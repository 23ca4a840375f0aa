"""Inputs of the shared test data that earlier versions handled wrongly give the results that its README expects."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from amcnet.runtime.infer import InferOptions, infer
from amcnet.runtime.video.reader import open_frames

Shared = Callable[[str], Path]


@dataclass(frozen=True)
class Run:
    """What a run wrote; `times` and `end` are those of the overlay in seconds."""

    report: dict[str, Any]
    masks: list[str]
    times: list[float]
    end: float
    pixels: np.ndarray
    ratio: Fraction


@pytest.fixture
def run(shared: Shared, amcnet_onnx: Path, tmp_path: Path) -> Callable[[str], Run]:
    def run_on(name: str) -> Run:
        output = tmp_path / "out"
        source = shared("data/inputs") / name
        report = infer(InferOptions(source=source, output=output, amcnet=amcnet_onnx))
        assert report == json.loads((output / "run.json").read_text())
        assert report["complete"]
        masks = sorted(path.name for path in (output / "masks").iterdir())
        with av.open(str(output / "overlay.mp4")) as container:
            stream = container.streams.video[0]
            frames = list(container.decode(stream))
            end = float((stream.start_time + stream.duration) * stream.time_base)
            ratio = stream.sample_aspect_ratio
        times = [float(frame.pts * stream.time_base) for frame in frames]
        return Run(report, masks, times, end, frames[0].to_ndarray(format="rgb24"), ratio)

    return run_on


def _even(rate: float, frames: int) -> Any:
    return pytest.approx([index / rate for index in range(frames)], abs=0.001)


def test_a_title_in_latin1_is_read(run: Callable[[str], Run]) -> None:
    result = run("latin1_title.avi")
    assert len(result.masks) == 12
    assert (result.report["truncated"], result.report["notes"]) == (False, [])


def test_b_frames_in_avi_have_even_times(run: Callable[[str], Run]) -> None:
    result = run("bframes_h264.avi")
    assert len(result.masks) == 12
    assert np.diff(result.times) == pytest.approx([1 / 24] * 11)


def test_the_stream_with_the_default_flag_is_read(run: Callable[[str], Run]) -> None:
    result = run("thumb_first_default_second.mkv")
    assert (len(result.masks), result.pixels.shape) == (12, (180, 320, 3))
    assert any("2 video streams" in note for note in result.report["notes"])


def test_pq_video_is_tone_mapped(run: Callable[[str], Run], shared: Shared) -> None:
    result = run("hdr_pq.mp4")
    assert len(result.masks) == 12
    assert any("HDR (PQ" in note for note in result.report["notes"])
    # The frame that it was made from, in SDR.
    original = shared("data/davis16/val/JPEGImages/480p/car-shadow/00000.jpg")
    with av.open(str(original)) as container:
        expected = next(container.decode(video=0)).reformat(1280, 720, "rgb24").to_ndarray()
    road = np.s_[560:, 100:1200]  # where no mask is drawn
    assert np.abs(result.pixels[road].astype(float) - expected[road]).mean() < 8


def test_untagged_720p_is_bt709(run: Callable[[str], Run], shared: Shared) -> None:
    result = run("bars_untagged_720.mp4")
    assert len(result.masks) == 3
    assert ["hardly anything moves" in note for note in result.report["notes"]] == [True]
    path = shared("data/inputs/bars_untagged_720.mp4")
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        expected, old = (
            frame.reformat(format="rgb24", src_colorspace=name).to_ndarray() for name in ("ITU709", "ITU601")
        )
    with open_frames(path) as reader:
        pixels = next(reader).pixels
    assert np.abs(pixels.astype(int) - expected).max() <= 1
    assert np.abs(old.astype(int) - expected).max() >= 30


def test_the_sample_aspect_ratio_is_kept(run: Callable[[str], Run]) -> None:
    assert run("sar16_11.mp4").ratio == Fraction(16, 11)


@pytest.mark.parametrize("name", ["animated.png", "animated.webp"])
def test_animations_have_all_their_frames(run: Callable[[str], Run], name: str) -> None:
    result = run(name)
    assert (len(result.masks), len(result.times)) == (8, 8)
    seconds = [row["seconds"] for row in result.report["frame_list"]]
    delays = [0.1, 0.04, 0.5, 0.1, 0.02, 0.1, 1.0, 0.1] if name == "animated.png" else [0.125] * 8
    assert seconds == pytest.approx(np.cumsum([0, *delays[:-1]]), abs=1e-6)
    assert result.times == pytest.approx(seconds, abs=0.001)
    assert result.end == pytest.approx(sum(delays), abs=0.001)


def test_the_last_delay_of_a_gif_is_kept(run: Callable[[str], Run]) -> None:
    result = run("gif_last_delay.gif")
    assert len(result.masks) == 8
    assert result.end == pytest.approx(1.96)


def test_a_transport_stream_that_starts_at_40000_s_begins_at_0(run: Callable[[str], Run]) -> None:
    result = run("ts_start40000.ts")
    assert result.times == _even(24, 12)


def test_joined_transport_streams_are_read_whole(run: Callable[[str], Run], tmp_path: Path) -> None:
    result = run("ts_joined_short.ts")
    assert len(result.masks) == 36
    # The sound begins 23 ms before the frames.
    assert np.diff(result.times) == pytest.approx([1 / 24] * 35)
    assert result.end == pytest.approx(1.5, abs=0.03)
    assert any("the clock jumps 2 times" in note for note in result.report["notes"])
    with av.open(str(tmp_path / "out" / "overlay.mp4")) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
    assert 66 <= len(packets) <= 69


def test_a_cut_fragmented_mp4_is_truncated(run: Callable[[str], Run]) -> None:
    result = run("c60_x8_frag.mp4")
    assert len(result.masks) == 3
    assert result.report["truncated"]
    assert any("cut short: it ends after 3 frames" in note for note in result.report["notes"])
