"""Videos over HTTP and RTSP, from servers in this process: whole, dropped, stalled and refused."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from amcnet.runtime.errors import InputError
from amcnet.runtime.frame import MaskFrame
from amcnet.runtime.infer import InferOptions, infer
from amcnet.runtime.output.overlay import OverlayWriter
from amcnet.runtime.video import network, network_faults, video_stream
from amcnet.runtime.video.network import public_name
from amcnet.runtime.video.reader import open_frames

MakeClip = Callable[..., Path]
FRAMES = 24


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (network, video_stream, network_faults):
        monkeypatch.setattr(module, "TIMEOUT_SECONDS", 1.0)
    for module in (network, network_faults):
        monkeypatch.setattr(module, "PAUSES_SECONDS", (0.0, 0.0))


class Server(ThreadingHTTPServer):
    """Serves `content` at each path; the first folder of the path is what happens halfway."""

    content = b""
    requests = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.end = threading.Event()

    def handle_error(self, *_: object) -> None:
        """The client has gone: expected."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        kind, content = self.path.split("/")[1], self.server.content
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        begin, half = int(asked[1]) if asked else 0, len(content) // 2
        if kind == "gone" or (kind == "breaks" and begin > 0):
            self.send_error(404)
            return
        self.send_response(206 if begin else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if kind == "whole" or (kind == "drops" and begin > 0):
            self.wfile.write(content[begin:])
            return
        self.wfile.write(content[begin:half])
        self.wfile.flush()
        if kind == "stalls":
            self.server.end.wait()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path, clip_picture: Callable[..., Any], kinds: ModuleType) -> Iterator[Server]:
    # Noise, so that the frames are most of the file.
    images = list(np.random.default_rng(0).integers(0, 256, (FRAMES, 240, 320, 3), np.uint8))
    with Server() as server:
        server.content = kinds.encode(tmp_path / "clip.mkv", images, "mpeg4", qmin="1", b="40M").read_bytes()
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.end.set()
        server.shutdown()
        thread.join()


def _url(server: Server, kind: str) -> str:
    return f"http://127.0.0.1:{server.server_port}/{kind}/clip.mkv"


@pytest.mark.parametrize("kind", ["whole", "drops"])
def test_http_continues_after_a_dropped_connection(server: Server, kind: str) -> None:
    with open_frames(_url(server, kind)) as reader:
        assert sum(1 for _ in reader) == FRAMES
        assert (reader.truncated, reader.notes) == (None, [])
    assert (server.requests > 1) == (kind == "drops")


@pytest.mark.parametrize(("kind", "why"), [("breaks", "cut short: it"), ("stalls", "the connection was lost")])
def test_a_lost_connection_keeps_the_frames_received(server: Server, kind: str, why: str) -> None:
    with open_frames(_url(server, kind)) as reader:
        frames = sum(1 for _ in reader)
        assert 0 < frames < FRAMES
        assert reader.truncated is not None
        assert re.fullmatch(rf"{re.escape(_url(server, kind))}: {why} .*after {frames} frames.*", reader.truncated)
        assert reader.truncated.endswith(": no data for 1 s") == (kind == "stalls")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("{gone}", "the video cannot be opened .*404"),
        ("http://127.0.0.1:9/clip.mp4", "the video cannot be opened .Connection refused"),
        ("rtsp://user:secret@127.0.0.1:9/live", r"rtsp://user:\*\*\*@127.0.0.1:9/live: the video cannot be opened"),
        ("morse://host/x", "has no protocol 'morse'; expected one such as http, https or rtsp. Fix: ffmpeg -i morse:"),
    ],
)
def test_addresses_that_cannot_be_opened_are_errors(server: Server, url: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as raised:
        open_frames(url.format(gone=_url(server, "gone")))
    assert "secret" not in str(raised.value)


def test_a_server_that_never_answers_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/clip.mp4"
        with pytest.raises(
            InputError, match=r"the video cannot be opened \((no answer within 1 s|Connection timed out)"
        ):
            open_frames(url)


def test_the_sound_of_a_file_on_a_web_server(server: Server, tmp_path: Path, make_clip: MakeClip) -> None:
    server.content = make_clip(tmp_path / "clip.mp4", frames=FRAMES, audio=True).read_bytes()
    url = f"http://user:secret@127.0.0.1:{server.server_port}/whole/clip.mp4?key=secret"
    with open_frames(url) as reader, OverlayWriter(tmp_path / "overlay.mp4", reader.info) as overlay:
        for frame in reader:
            mask = np.zeros(frame.pixels.shape[:2], bool)
            overlay.write(MaskFrame(frame, mask, mask.astype(np.float32)))
        assert reader.notes == []
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        assert float(container.streams.audio[0].duration * container.streams.audio[0].time_base) > 0.9
    assert overlay.notes == []


class Camera(threading.Thread):
    """A small RTSP server: `pieces` are MPEG-TS streams, one a connection, sent over TCP and then broken off."""

    def __init__(self, pieces: list[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://user:secret@127.0.0.1:{self._listener.getsockname()[1]}/live"

    def run(self) -> None:
        for piece in self._pieces:
            connection, _ = self._listener.accept()
            with connection, connection.makefile("rb") as requests:
                while self._answer(connection, requests) != "PLAY":
                    pass
                self._play(connection, piece)
        self._listener.close()  # later connections are refused

    def _answer(self, connection: socket.socket, requests: Any) -> str:
        method = requests.readline().split()[0].decode()
        headers = {}
        while line := requests.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n"
        extra, body = "", ""
        if method == "DESCRIBE":
            extra, body = f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n", sdp
        elif method == "SETUP":
            extra = f"Transport: {headers['transport']}\r\n"
        answer = f"RTSP/1.0 200 OK\r\nCSeq: {headers['cseq']}\r\nSession: 1\r\n{extra}\r\n{body}"
        connection.sendall(answer.encode())
        return method

    @staticmethod
    def _play(connection: socket.socket, piece: bytes) -> None:
        for number, begin in enumerate(range(0, len(piece), 7 * 188)):
            payload = piece[begin : begin + 7 * 188]
            header = bytes([0x80, 33]) + number.to_bytes(2, "big") + (3600 * number).to_bytes(4, "big") + b"\0\0\0\1"
            connection.sendall(b"$\0" + (len(header) + len(payload)).to_bytes(2, "big") + header + payload)


@pytest.fixture
def piece(tmp_path: Path, kinds: ModuleType, clip_picture: Callable[..., NDArray[np.uint8]]) -> bytes:
    images = [clip_picture(index, (64, 48)) for index in range(FRAMES)]
    data: bytes = kinds.transport_stream(tmp_path / "piece.ts", images).read_bytes()
    return data


def test_a_camera_stream_that_breaks_off_is_opened_again(piece: bytes) -> None:
    camera = Camera([piece, piece])
    camera.start()
    with open_frames(camera.url) as reader:
        times = [frame.pts_seconds for frame in reader]
        notes, truncated = reader.notes, reader.truncated
    camera.join()
    assert len(times) > 1.5 * FRAMES
    assert sorted(set(times)) == times
    public = camera.url.replace("secret", "***")
    assert f"{public}: the connection was opened again 1 time; the frames in between are missing" in notes
    assert f"{public}: the sound of a live stream is not kept" in notes
    assert truncated == f"{public}: the connection was lost after {len(times)} frames: the server ended it"


def test_a_camera_is_read_for_the_duration(piece: bytes, tmp_path: Path, amcnet_onnx: Path) -> None:
    camera = Camera([piece])
    camera.start()
    report = infer(InferOptions(source=camera.url, output=tmp_path / "out", amcnet=amcnet_onnx, duration=0.4))
    camera.join()
    assert (report["frames"], report["truncated"], report["complete"]) == (10, False, True)
    assert "secret" not in (tmp_path / "out" / "run.json").read_text()
    assert report["settings"]["duration"] == 0.4


def test_the_duration_is_in_the_time_of_the_source(tmp_path: Path, make_clip: MakeClip) -> None:
    clip = make_clip(tmp_path / "clip.mp4", pts=[0, 9000, 90_000, 135_000, 180_000])
    for duration, frames in ((0.05, 1), (1, 2), (1.0001, 3), (1.6, 4), (100, 5)):
        with open_frames(clip, duration=duration) as reader:
            assert len(list(reader)) == frames
    with open_frames(make_clip(tmp_path / "even.mp4", frames=50), start=10, stride=2, duration=0.8) as reader:
        assert reader.info.expected_frames == len(list(reader)) == 10
    for duration in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match=r"duration: got .*, expected seconds above 0"):
            open_frames(clip, duration=duration)


@pytest.mark.parametrize(
    ("source", "public"),
    [
        ("rtsp://user:p@ss@host:554/live?x=1", "rtsp://user:***@host:554/live?x=1"),
        ("https://user@host/clip.mp4", "https://user@host/clip.mp4"),
        ("folder/a:b@c.mp4", "folder/a:b@c.mp4"),
    ],
)
def test_passwords_are_not_shown(source: str, public: str) -> None:
    assert public_name(source) == public
