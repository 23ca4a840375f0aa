"""The page of `amc-demo` in a browser: upload, queue, progress, download, cancellation, and the files of visitors."""

from __future__ import annotations

import io
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from amcnet.runtime.demo import segmentation, server
from amcnet.runtime.demo.options import DemoOptions
from amcnet.runtime.demo.visitors import Visitor
from amcnet.runtime.frame import SourceInfo
from amcnet.runtime.infer import infer

pytestmark = pytest.mark.slow
MakeClip = Callable[..., Path]
FRAMES = 8
LONGEST_SECONDS = 120


@dataclass
class Served:
    """A server, whose runs wait after their second frame until `go` is called."""

    address: str = ""
    folder: Path = Path()
    looked_up: list[object] = field(default_factory=list)
    reached: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    left: queue.SimpleQueue[Path] = field(default_factory=queue.SimpleQueue)
    _gate: queue.SimpleQueue[None] = field(default_factory=queue.SimpleQueue)

    def go(self) -> None:
        self._gate.put(None)

    def infer(self, options: Any, progress: Callable[[SourceInfo, int], None], **others: Any) -> dict[str, Any]:
        def held(info: SourceInfo, done: int) -> None:
            progress(info, done)
            if done == 2:
                self.reached.put(Path(info.name).name)
                self._gate.get(timeout=LONGEST_SECONDS)

        return infer(options, held, **others)

    def status(self, path: str, **headers: str) -> int:
        try:
            with urllib.request.urlopen(urllib.request.Request(self.address + path, headers=headers)) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, amcnet_onnx: Path, tmp_path: Path) -> Iterator[Served]:
    pytest.importorskip("gradio", reason="gradio is not installed: pip install 'amcnet[demo]'")
    import uvicorn

    found = Served(folder=tmp_path / "temporary")
    found.folder.mkdir()
    monkeypatch.setattr(server.tempfile, "tempdir", str(found.folder))
    monkeypatch.setattr(segmentation, "infer", found.infer)
    monkeypatch.setattr(segmentation, "_PROGRESS_EVERY_SECONDS", 0)
    for variable in (*server._ENVIRONMENT, "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(variable, "")  # restored after the test
    look_up = socket.getaddrinfo

    def record(host: Any, *others: Any, **named: Any) -> Any:
        if host != "127.0.0.1":
            found.looked_up.append(host)
        return look_up(host, *others, **named)

    monkeypatch.setattr(socket, "getaddrinfo", record)
    leave = Visitor.leave

    def report_leave(visitor: Visitor) -> None:
        leave(visitor)
        found.left.put(visitor.folder)

    monkeypatch.setattr(Visitor, "leave", report_leave)
    started: list[uvicorn.Server] = []
    make_server = uvicorn.Server

    def start(config: uvicorn.Config) -> uvicorn.Server:
        started.append(make_server(config))
        return started[0]

    monkeypatch.setattr(uvicorn, "Server", start)
    ready: queue.SimpleQueue[str] = queue.SimpleQueue()
    options = DemoOptions(models=(amcnet_onnx,), max_frames=FRAMES, max_mib=1, port=0)
    thread = threading.Thread(target=server.serve, args=(options, ready.put))
    thread.start()
    try:
        found.address = ready.get(timeout=LONGEST_SECONDS)
        yield found
    finally:
        found.go()
        started[0].should_exit = True
        thread.join()
        assert not list(found.folder.iterdir()), "all temporary files are gone"
        assert not found.looked_up, "the server looked for other machines"


def _open(browser: Any, served: Served) -> Any:
    browser.open(served.address)
    browser.wait("document.querySelector('#video input[type=file]') && document.querySelector('#segment')")
    while not any("/heartbeat/" in url for url in browser.requests):  # the page's last step before it takes events
        browser.evaluate("new Promise(done => setTimeout(done, 50))")
    return browser


def _choose(page: Any, clip: Path) -> None:
    page.choose_file("#video input[type=file]", clip)
    text = "document.querySelector('#video').innerText"
    page.wait(f"{text}.includes({clip.stem!r}) && !{text}.includes('Uploading')")


def _press(page: Any, button: str) -> None:
    page.evaluate(f"document.querySelector('#{button}').click()")


def _start(page: Any, served: Served) -> str:
    """Start a run and return the name of its video. The page ignores the button until it knows that a run has ended."""
    while True:
        _press(page, "segment")
        with suppress(queue.Empty):
            return served.reached.get(timeout=5)


def _wait_for_status(page: Any, text: str) -> None:
    page.wait(f"document.querySelector('#status').innerText.includes({text!r})")


def _links(page: Any) -> list[str]:
    links: list[str] = page.evaluate("[...document.querySelectorAll('#downloads a')].map(link => link.href)")
    return links


def test_two_visitors_get_their_own_results(
    served: Served, open_chromium: Callable[[], Any], tmp_path: Path, make_clip: MakeClip
) -> None:
    clips = [make_clip(tmp_path / f"{name}.mp4", frames=FRAMES, size=size) for name, size in _CLIPS.items()]
    one, two = _open(open_chromium(), served), _open(open_chromium(), served)
    _choose(one, clips[0])
    one.click("#model input")
    one.click("[role=option][aria-label='amcnet.onnx']")
    assert _start(one, served) == "first.mp4"
    _wait_for_status(one, "frame 2")

    _choose(two, clips[1])
    _press(two, "segment")
    _wait_for_status(two, "queue: ")
    assert served.reached.empty(), "the second waits"

    served.go()
    _wait_for_status(one, f"{FRAMES} frames in")
    one.wait("document.querySelector('#player video')?.readyState >= 2")
    assert one.evaluate("document.querySelector('#player video').videoWidth") == 64
    assert [link.rpartition("/")[2] for link in _links(one)] == ["first-masks.zip", "first-overlay.mp4"]
    with urllib.request.urlopen(_links(one)[0]) as answer:
        assert len(zipfile.ZipFile(io.BytesIO(answer.read())).namelist()) == FRAMES

    assert served.reached.get(timeout=LONGEST_SECONDS) == "second.mp4"
    served.go()
    _wait_for_status(two, f"{FRAMES} frames in")
    first, second = _links(one)[1], _links(two)[1]
    assert second.endswith("/second-overlay.mp4")
    assert Path(first).parent != Path(second).parent
    assert "first" not in two.evaluate("document.documentElement.innerHTML")
    folder = first.removeprefix(served.address).rpartition("/")[0]
    for path in (folder, folder.rpartition("/")[0], "/gradio_api/file=/etc/passwd", "/gradio_api/file=/etc/hostname"):
        assert served.status(path) == 403, "there are no listings"

    one.close()
    assert served.left.get(timeout=LONGEST_SECONDS).name == Path(first).parent.name
    two.wait(f"fetch({second!r}).then(answer => answer.ok)")
    assert served.status(first.removeprefix(served.address)) == 403, "its files are gone"
    assert all(url.startswith(served.address) for url in one.requests + two.requests)
    assert served.status("/", Host="example.org") == 400


def test_a_run_is_cancelled(
    served: Served, open_chromium: Callable[[], Any], tmp_path: Path, make_clip: MakeClip
) -> None:
    page = _open(open_chromium(), served)
    _choose(page, make_clip(tmp_path / "clip.mp4", frames=FRAMES))
    assert _start(page, served) == "clip.mp4"
    _wait_for_status(page, "frame 2")
    _press(page, "cancel")
    _wait_for_status(page, "cancelled")
    served.go()
    assert not _links(page)
    assert _start(page, served) == "clip.mp4", "the first made way"
    served.go()
    _wait_for_status(page, f"{FRAMES} frames in")


def test_wrong_uploads_are_refused(
    served: Served, open_chromium: Callable[[], Any], tmp_path: Path, make_clip: MakeClip
) -> None:
    page = _open(open_chromium(), served)
    _press(page, "segment")
    page.wait("document.body.innerText.includes('no video is selected')")
    _choose(page, make_clip(tmp_path / "long.mp4", frames=FRAMES + 1))
    _press(page, "segment")
    page.wait(f"document.body.innerText.includes('long.mp4 has {FRAMES + 1} frames or more')")
    page = _open(open_chromium(), served)
    (tmp_path / "large.mp4").write_bytes(bytes(2 << 20))
    page.choose_file("#video input[type=file]", tmp_path / "large.mp4")
    page.wait("document.body.innerText.includes('maximum allowed size')")


def test_ctrl_c_ends_the_command(tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="gradio is not installed: pip install 'amcnet[demo]'")
    code = "import sys; sys.argv[0] = 'amc-demo'; from amcnet.runtime.demo.cli import main; sys.exit(main())"
    with subprocess.Popen(
        [sys.executable, "-c", code, "--port", "0"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[1].rstrip(";")
        with urllib.request.urlopen(f"{address}/gradio_api/heartbeat/1") as heartbeat:  # of an open page
            assert heartbeat.readline() == b"data: ALIVE\n"
            assert len(list(tmp_path.iterdir())) == 1
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=LONGEST_SECONDS)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert not list(tmp_path.iterdir())


_CLIPS = {"first": (64, 48), "second": (96, 64)}
