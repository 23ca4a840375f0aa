"""`amc-demo` without its page: limits, progress and cancellation of a run, the files of visitors, and the routes."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amcnet.runtime import segmenter_plan
from amcnet.runtime.demo import cli, segmentation
from amcnet.runtime.demo.local_routes import LocalRoutes, Message
from amcnet.runtime.demo.offered_models import OfferedModels
from amcnet.runtime.demo.options import DemoOptions
from amcnet.runtime.demo.segmentation import CancelledError, segment
from amcnet.runtime.demo.visitors import Visitor, Visitors
from amcnet.runtime.errors import InputError, ModelFileError
from amcnet.runtime.video.reader import open_frames

MakeClip = Callable[..., Path]
FRAMES = 6


@pytest.fixture
def options(amcnet_onnx: Path) -> DemoOptions:
    return DemoOptions(models=(amcnet_onnx,), max_frames=FRAMES)


@pytest.fixture
def clip(tmp_path: Path, make_clip: MakeClip) -> Path:
    return make_clip(tmp_path / "my clip.mp4", frames=FRAMES)


@pytest.fixture
def run(tmp_path: Path, options: DemoOptions) -> Callable[..., segmentation.Results]:
    """`run(video, outputs=..., visitor=..., progress=...)` by the tiny network."""

    def run(
        video: Path,
        *,
        outputs: tuple[str, ...] = ("masks", "overlay"),
        visitor: Visitor | None = None,
        progress: segmentation.Progress = lambda done, frames, left: None,
    ) -> segmentation.Results:
        visitor = visitor or Visitor(tmp_path / "visitor")
        with OfferedModels(options) as models:
            return segment(
                video, "amcnet.onnx", outputs, visitor=visitor, models=models, options=options, progress=progress
            )

    return run


# --- a run


def test_a_run_returns_the_selected_files(run: Callable[..., segmentation.Results], clip: Path, tmp_path: Path) -> None:
    found = run(clip)
    assert [path.name for path in found.files] == ["my clip-masks.zip", "my clip-overlay.mp4"]
    with zipfile.ZipFile(found.files[0]) as archive:
        assert archive.namelist() == [f"{index:05d}.png" for index in range(FRAMES)]
        assert archive.testzip() is None
    assert found.report["frames"] == FRAMES
    again = run(clip, outputs=("rle", "alpha-png"))
    assert [path.name for path in again.files] == ["my clip-alpha-png.zip", "my clip-rle.jsonl"]
    assert sorted((tmp_path / "visitor").iterdir()) == sorted(again.files), "the earlier run's files are gone"
    with pytest.raises(InputError, match="no output is selected"):
        run(clip, outputs=())


def test_progress_shows_the_remaining_time(
    run: Callable[..., segmentation.Results], clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmentation, "_PROGRESS_EVERY_SECONDS", 0)
    seconds = iter(range(100, 200, 2))
    monkeypatch.setattr(segmentation, "monotonic", lambda: next(seconds))
    calls: list[tuple[int, int | None, float | None]] = []
    run(clip, progress=lambda *call: calls.append(call))
    assert calls[0] == (1, FRAMES, None)
    assert [done for done, *_ in calls] == list(range(1, FRAMES + 1))
    left = [left for *_, left in calls if left is not None]
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0
    assert left[0] % (FRAMES - 2) == 0, "four frames at a whole number of seconds each"


def test_a_video_that_is_too_long_is_refused(
    run: Callable[..., segmentation.Results], tmp_path: Path, make_clip: MakeClip
) -> None:
    long = make_clip(tmp_path / "long.mp4", frames=FRAMES + 1)
    with pytest.raises(InputError, match=r"^long.mp4 has 7 frames or more; expected at most 6. Fix: cut the video$"):
        run(long)
    unknown = make_clip(tmp_path / "unknown.mkv", frames=FRAMES + 4)
    with open_frames(unknown) as reader:
        assert reader.info.expected_frames is None
    with pytest.raises(InputError, match=r"unknown\.mkv has 7 frames or more"):
        run(unknown)
    assert not (tmp_path / "visitor").exists()


def test_a_run_is_cancelled_after_a_frame(run: Callable[..., segmentation.Results], clip: Path, tmp_path: Path) -> None:
    visitor = Visitor(tmp_path / "visitor")
    calls = []

    def cancel_at_once(done: int, frames: int | None, left: float | None) -> None:
        calls.append(done)
        visitor.cancelled.set()

    with pytest.raises(CancelledError):
        run(clip, visitor=visitor, progress=cancel_at_once)
    assert calls == [1]
    assert not visitor.folder.exists()
    assert run(clip, visitor=visitor).files, "the next run is not cancelled"


def test_one_model_is_loaded_at_a_time(options: DemoOptions, amcnet_onnx: Path, tmp_path: Path) -> None:
    with OfferedModels(options) as models:
        assert models.names == ["light, FP32", "light, INT8", "base, FP32", "base, INT8", "amcnet.onnx"]
        with models.loaded("amcnet.onnx") as first:
            assert first.file.path == amcnet_onnx
        with models.loaded("amcnet.onnx") as again:
            assert again is first
        with models.loaded("base, FP32") as base:
            assert base.plan.model == "base"
    with pytest.raises(ModelFileError):
        OfferedModels(DemoOptions(models=(tmp_path / "missing.onnx",)))


def test_int8_is_not_offered_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmenter_plan, "require_library", lambda *_, **__: None)
    assert OfferedModels(DemoOptions(device="cuda")).names == ["light, FP32", "base, FP32"]


# --- visitors


def test_each_visitor_has_a_separate_folder(tmp_path: Path) -> None:
    visitors = Visitors(tmp_path)
    one, other = visitors.get("1"), visitors.get("2")
    assert visitors.get("1") is one
    assert len({one.folder, other.folder}) == 2
    for visitor in (one, other):
        with visitor.run() as folder:
            (folder / "result").touch()
    visitors.leave("1")
    assert [path.name for path in tmp_path.iterdir()] == [other.folder.name]
    visitors.close()
    assert not list(tmp_path.iterdir())


def test_an_upload_of_two_visitors_stays_until_both_left(tmp_path: Path) -> None:
    visitors = Visitors(tmp_path / "visitors")
    upload = tmp_path / "hash" / "clip.mp4"
    upload.parent.mkdir()
    upload.touch()
    for session in ("1", "2"):
        visitors.get(session).uploads.add(upload)
    visitors.leave("1")
    assert upload.exists()
    visitors.leave("2")
    assert not upload.parent.exists()


def test_leaving_waits_for_the_end_of_the_run(tmp_path: Path) -> None:
    visitors = Visitors(tmp_path)
    visitor = visitors.get("1")
    running = threading.Event()

    def run() -> None:
        with visitor.run() as folder:
            running.set()
            visitor.cancelled.wait()
            (folder / "result").touch()

    thread = threading.Thread(target=run)
    thread.start()
    running.wait()
    visitors.leave("1")
    assert not visitor.folder.exists()
    thread.join()


# --- routes


def _status(path: str, body: bytes | None = None) -> int:
    """The status of a request behind which an application answers 200."""
    statuses: list[int] = []
    sent = body or b""
    waiting: list[Message] = [
        {"type": "http.request", "body": sent[:5], "more_body": True},
        {"type": "http.request", "body": sent[5:], "more_body": False},
    ]

    async def application(scope: Message, receive: Any, send: Any) -> None:
        if body is not None:
            assert (await receive())["body"] == body
        await send({"type": "http.response.start", "status": 200})

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        if "status" in message:
            statuses.append(message["status"])

    asyncio.run(LocalRoutes(application)({"type": "http", "path": path}, receive, send))
    return statuses[0]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/assets/index.js", 200),
        ("/gradio_api/file=/tmp/amc-demo-1/a/clip.mp4", 200),
        ("/gradio_api/file=https://example.org/clip.mp4", 403),
        ("/gradio_api/file=file:///etc/passwd", 403),
        ("/gradio_api/proxy=https://example.org/", 403),
        ("/gradio_api/runs", 403),
        ("/monitoring", 403),
        ("/gradio_api/info", 403),
    ],
)
def test_only_routes_of_the_page_are_served(path: str, status: int) -> None:
    assert _status(path) == status


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/run/predict"])
def test_an_event_cannot_name_an_address(path: str) -> None:
    def event(file: str) -> bytes:
        files = [{"path": file, "url": "http://127.0.0.1:7860/x", "meta": {"_type": "gradio.FileData"}}]
        return json.dumps({"data": [files, "overlay"], "session_hash": "1"}).encode()

    assert _status(path, event("/tmp/amc-demo-1/a/clip.mp4")) == 200
    assert _status(path, event("https://example.org/clip.mp4")) == 403
    assert _status(path, b"no JSON") == 403
    assert _status(path, b" " * (2 << 20)) == 403


# --- the command


def test_wrong_options_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "require", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("sys.argv", ["amc-demo", "--port", str(port)])
        assert cli.main() == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: cannot listen on port {port}: ")
    assert said.endswith("Fix: amc-demo --port N with another one\n")
