"""Process-wide settings of OpenCV: equal in the command and the Python API, and restored afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from amcnet import Segmenter
from amcnet.runtime.errors import InputError
from amcnet.runtime.files.onnx_file import OnnxFile
from amcnet.runtime.flow import flow
from amcnet.runtime.infer import InferOptions, infer
from amcnet.runtime.inputs.clip_inputs import ClipInputs
from amcnet.runtime.inputs.frame_selection import choose_frames
from amcnet.runtime.video import read_image as image_reader
from amcnet.runtime.video.read_image import read_image

LOG = cv2.utils.logging


@pytest.fixture(autouse=True)
def _three_threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    yield
    cv2.setNumThreads(before)


@pytest.fixture
def clip(tmp_path: Path, make_clip: Callable[..., Path]) -> Path:
    return make_clip(tmp_path / "clip.mp4", frames=6, size=(64, 48))


@pytest.fixture
def dis_threads(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """OpenCV's numbers of threads while flow is colored, right after it is computed."""
    seen: set[int] = set()

    def color_flow(pixels: Any) -> Any:
        seen.add(cv2.getNumThreads())
        return color(pixels)

    color = flow.color_flow
    monkeypatch.setattr(flow, "color_flow", color_flow)
    return seen


def test_the_command_and_the_api_compute_flow_with_one_thread(
    clip: Path, amcnet_onnx: Path, tmp_path: Path, dis_threads: set[int]
) -> None:
    infer(InferOptions(source=clip, output=tmp_path / "out", amcnet=amcnet_onnx))
    assert (dis_threads, cv2.getNumThreads()) == ({1}, 3)
    dis_threads.clear()
    with Segmenter.load(amcnet_onnx) as segmenter:
        assert len(list(segmenter.video(clip))) == 6
    assert (dis_threads, cv2.getNumThreads()) == ({1}, 3)


def test_frames_for_calibration_are_chosen_and_made_with_one_thread(
    clip: Path, amcnet_onnx: Path, dis_threads: set[int]
) -> None:
    assert len(list(ClipInputs(OnnxFile.read(amcnet_onnx), [clip]))) == 5
    assert (dis_threads, cv2.getNumThreads()) == ({1}, 3)
    assert choose_frames([clip], 2)
    assert cv2.getNumThreads() == 3


def test_two_videos_at_once_restore_the_setting_when_both_end(clip: Path, amcnet_onnx: Path) -> None:
    with Segmenter.load(amcnet_onnx) as segmenter:
        first, second = segmenter.video(clip), segmenter.video(clip)
        next(first)
        next(second)
        first.close()
        assert cv2.getNumThreads() == 1
        second.close()
        assert cv2.getNumThreads() == 3


def test_a_video_that_fails_or_is_dropped_restores_the_setting(tmp_path: Path, clip: Path, amcnet_onnx: Path) -> None:
    with Segmenter.load(amcnet_onnx) as segmenter:
        dropped = segmenter.video(clip)
        next(dropped)
        del dropped
        assert cv2.getNumThreads() == 3
        folder = tmp_path / "frames"
        folder.mkdir()
        for index in range(2):
            cv2.imwrite(str(folder / f"{index}.png"), np.zeros((8, 8, 3), np.uint8))
        (folder / "2.png").write_bytes(b"no picture")
        with pytest.raises(InputError, match=r"2\.png"):
            list(segmenter.video(folder))
    assert cv2.getNumThreads() == 3


def test_decoding_images_in_two_threads_restores_the_log_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first to begin ends first: storing and restoring alone would leave OpenCV silent for good."""
    path = tmp_path / "0.png"
    cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
    second: list[Future[Any]] = []
    second_began, first_ended = threading.Event(), threading.Event()

    def imdecode(stored: Any, flags: int) -> Any:
        assert LOG.getLogLevel() == LOG.LOG_LEVEL_SILENT
        if threading.current_thread() is threading.main_thread():
            second.append(pool.submit(read_image, path))
            second_began.wait()
        else:
            second_began.set()
            first_ended.wait()
        return decode(stored, flags)

    decode = cv2.imdecode
    monkeypatch.setattr(image_reader.cv2, "imdecode", imdecode)
    before = LOG.setLogLevel(LOG.LOG_LEVEL_INFO)
    try:
        with ThreadPoolExecutor(1) as pool:
            read_image(path)
            first_ended.set()
            second[0].result()
        assert LOG.getLogLevel() == LOG.LOG_LEVEL_INFO
    finally:
        LOG.setLogLevel(before)


def test_a_damaged_image_is_an_error_and_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "0.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    before = LOG.getLogLevel()
    with pytest.raises(InputError, match="cannot be decoded"):
        read_image(path)
    assert LOG.getLogLevel() == before
    assert capfd.readouterr().err == ""
