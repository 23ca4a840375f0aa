"""Sources and outputs at addresses, on an S3 server and a web server of this machine."""

from __future__ import annotations

import functools
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from amcnet.runtime.batch import cli
from amcnet.runtime.batch.batch import run_batch
from amcnet.runtime.batch.cloud import path_of
from amcnet.runtime.batch.cloud_sources import find_at
from amcnet.runtime.batch.local_run import local_run
from amcnet.runtime.batch.sources import find_videos
from amcnet.runtime.errors import BackendError, InputError
from amcnet.runtime.infer import InferOptions
from amcnet.runtime.video.video_stream import is_video

Options = Callable[..., Any]
MakeVideos = Callable[..., None]


def _serve(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def bucket(credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The empty bucket `bkt` of a server that the environment names, as an s3fs file system."""
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'amcnet[cloud]'")
    moto_server = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'amcnet[test]'")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()  # of servers of this process before
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem(use_listings_cache=False)
    files.mkdir("bkt")
    yield files
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def refusing(credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that answers each request by 403."""
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'amcnet[cloud]'")

    class Refuse(BaseHTTPRequestHandler):
        def _refuse(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = _refuse  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    s3fs.S3FileSystem.clear_instance_cache()
    for url in _serve(Refuse):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield
    s3fs.S3FileSystem.clear_instance_cache()


def _status(bucket: Any, relative: str) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(bucket.cat(f"bkt/out/status/{relative}.json"))
    return status


def test_videos_of_a_bucket_are_segmented_into_a_bucket(
    options: Options, make_videos: MakeVideos, bucket: Any, tmp_path: Path
) -> None:
    make_videos("day1/a", "b")
    (tmp_path / "videos" / "broken.mp4").write_text("no video")
    run_batch(options(retries=0))
    bucket.put(str(tmp_path / "videos"), "bkt/videos", recursive=True)
    remote = options(sources=("s3://bkt/videos/",), output="s3://bkt/out", retries=0, jobs=1)
    result = run_batch(remote)
    assert result.done == 2
    ((failed, message),) = result.failed
    assert failed == "broken.mp4"
    assert message.startswith("s3://bkt/videos/broken.mp4: the video cannot be opened")

    local = tmp_path / "out"
    stored = {name.removeprefix("bkt/out/") for name in bucket.find("bkt/out")}
    assert stored == {str(path.relative_to(local)) for path in local.rglob("*") if path.is_file()}
    for name in (name for name in stored if name.endswith((".png", ".mp4"))):
        assert bucket.cat(f"bkt/out/{name}") == (local / name).read_bytes(), name
    assert json.loads(bucket.cat("bkt/out/b/run.json"))["settings"]["source"] == "s3://bkt/videos/b.mp4"
    assert _status(bucket, "day1/a.mp4")["source"] == "s3://bkt/videos/day1/a.mp4"
    assert result.files[-1] == "s3://bkt/out/summary.html"
    assert b"3 videos: 2 done, 1 failed; 8 frames." in bucket.cat("bkt/out/summary.html")

    again = run_batch(remote)
    assert (again.done, again.earlier, len(again.failed)) == (0, 2, 1)


def test_an_unfinished_or_changed_video_is_segmented_again(
    options: Options, make_videos: MakeVideos, bucket: Any, tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    make_videos("a", "b", "c", frames=3)
    bucket.put(str(tmp_path / "videos"), "bkt/videos", recursive=True)
    remote = options(sources=("s3://bkt/videos",), output="s3://bkt/out", jobs=1)
    run_batch(remote)
    bucket.pipe("bkt/out/status/a.mp4.json", json.dumps(_status(bucket, "a.mp4") | {"state": "running"}).encode())
    bucket.pipe("bkt/out/a/masks/00077.png", b"of a longer run that was killed")
    bucket.put(str(make_clip(tmp_path / "other.mp4", frames=2)), "bkt/videos/b.mp4")
    result = run_batch(remote)
    assert (result.done, result.earlier) == (2, 1)
    assert len(bucket.ls("bkt/out/a/masks")) == 3
    assert len(bucket.ls("bkt/out/b/masks")) == 2
    assert _status(bucket, "b.mp4")["frames"] == 2


def test_videos_are_found_in_a_bucket(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("v/b.MP4", "v/day 1/ä.webm", "v/note.txt", "v/.h.mp4", "v/.git/x.mp4", "v/run/overlay.mp4"):
        bucket.pipe(f"bkt/{name}", b"x")
    bucket.pipe("bkt/v/run/run.json", b"{}")
    bucket.pipe("bkt/v/out/x.mp4", b"x")

    def found(source: str) -> list[tuple[str, str]]:
        return [(video.source, video.relative) for video in find_at(source, "s3://bkt/v/out", is_video)]

    both = [("s3://bkt/v/b.MP4", "b.MP4"), ("s3://bkt/v/day 1/ä.webm", "day 1/ä.webm")]
    assert found("s3://bkt/v") == both
    assert found("s3://bkt/v/") == both
    assert found("s3://bkt/v/d*/*") == both[1:]
    assert found("s3://bkt/v/b.MP4") == both[:1]
    with pytest.raises(InputError, match=r"^s3://bkt/v/run: no videos were found; expected files ending in"):
        find_videos(("s3://bkt/v/run",), "out")


def test_a_list_may_name_addresses_of_a_web_server(
    options: Options, make_videos: MakeVideos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_videos("day1/a")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "videos"))
    for url in _serve(handler):
        lines = [f"{url}/day1/a.mp4?token=1*", f"{url}/gone.mp4"]
        (tmp_path / "list.txt").write_text("\n".join(lines))
        result = run_batch(options(sources=(str(tmp_path / "list.txt"),), retries=0, jobs=1))
        host = url.removeprefix("http://")
        assert result.done == 1
        ((failed, message),) = result.failed
        assert failed == f"{host}/gone.mp4"
        assert message.startswith(f"{url}/gone.mp4: there is no such bucket, folder or file")
        report = json.loads((tmp_path / "out" / host / "day1" / "a" / "run.json").read_text())
        assert (report["settings"]["source"], report["frames"]) == (lines[0], 4)
        assert run_batch(options(sources=(str(tmp_path / "list.txt"),), retries=0)).earlier == 1


def test_a_folder_of_a_web_server_and_a_list_there(
    options: Options, make_videos: MakeVideos, tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    make_videos("day 1/ä b", "c")
    (tmp_path / "videos" / "list.txt").write_text("# of the same folder\n\nday 1/ä b.mp4\n")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    for url in _serve(handler):
        found = find_videos((f"{url}/videos/",), "out")
        assert [(video.relative, video.output) for video in found] == [("c.mp4", "c"), ("day 1/ä b.mp4", "day 1/ä b")]
        result = run_batch(options(sources=(f"{url}/videos/list.txt",), retries=0, jobs=1))
        assert (result.done, result.failed) == (1, [])
        report = json.loads((tmp_path / "out" / "day 1" / "ä b" / "run.json").read_text())
        assert (report["settings"]["source"], report["frames"]) == (f"{url}/videos/day 1/ä b.mp4", 4)
        with pytest.raises(InputError, match=r"gone/: there is no such bucket, folder or file"):
            find_videos((f"{url}/gone/",), "out")
        with pytest.raises(InputError, match=r"gone\.txt: there is no such bucket, folder or file"):
            find_videos((f"{url}/gone.txt",), "out")


def test_a_list_in_a_bucket(bucket: Any) -> None:
    bucket.pipe("bkt/v/list.jsonl", b'day1/a.mp4\n{"source": "s3://other/b.mp4", "output": "b"}\n/data/c.mp4\n')
    found = [(video.source, video.output) for video in find_videos(("s3://bkt/v/list.jsonl",), "out")]
    assert found == [("s3://bkt/v/day1/a.mp4", "day1/a"), ("s3://other/b.mp4", "b"), ("/data/c.mp4", "data/c")]


@pytest.fixture
def google_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The empty bucket `bkt` of a server of Google's protocol, as a gcsfs file system."""
    server_module = pytest.importorskip("gcp_storage_emulator.server", reason="gcsfs is not installed: make test-ray")
    gcsfs = pytest.importorskip("gcsfs", reason="gcsfs is not installed: make test-ray")
    server = server_module.create_server("127.0.0.1", 0, in_memory=True, default_bucket="bkt")
    server.start()
    port = server._api._httpd.server_address[1]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # which looks for credentials
    gcsfs.GCSFileSystem.clear_instance_cache()
    yield gcsfs.GCSFileSystem(use_listings_cache=False)
    server.stop()
    gcsfs.GCSFileSystem.clear_instance_cache()


def test_a_google_bucket(options: Options, make_videos: MakeVideos, google_bucket: Any, tmp_path: Path) -> None:
    make_videos("day1/a", "b")
    google_bucket.put(str(tmp_path / "videos"), "bkt/videos", recursive=True)
    remote = options(sources=("gs://bkt/videos",), output="gs://bkt/out", jobs=1)
    assert run_batch(remote).done == 2
    assert len(google_bucket.ls("bkt/out/day1/a/masks")) == 4
    assert json.loads(google_bucket.cat("bkt/out/status/b.mp4.json"))["source"] == "gs://bkt/videos/b.mp4"
    assert run_batch(remote).earlier == 2
    with pytest.raises(InputError, match=r"^gs://gone/v: there is no such bucket, folder or file"):
        find_videos(("gs://gone/v",), "out")


def test_a_run_here_of_a_remote_source_is_resumed(
    options: Options, make_videos: MakeVideos, bucket: Any, tmp_path: Path
) -> None:
    make_videos("a", frames=6)
    bucket.put(str(tmp_path / "videos" / "a.mp4"), "bkt/a.mp4")
    remote = options(sources=("s3://bkt/a.mp4",), jobs=1)
    run_batch(remote)
    run, status = tmp_path / "out" / "a" / "run.json", tmp_path / "out" / "status" / "a.mp4.json"
    run.write_text(json.dumps(json.loads(run.read_text()) | {"complete": False}))
    status.write_text(json.dumps(json.loads(status.read_text()) | {"state": "running"}))
    (tmp_path / "out" / "a" / "masks" / "00005.png").unlink()
    assert run_batch(remote).done == 1
    report = json.loads(run.read_text())
    assert (report["complete"], report["frames"], report["computed_frames"]) == (True, 6, 3)


def _command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["amc-batch", *map(str, arguments)])
    status = cli.main()
    return status, capsys.readouterr().err


def test_a_bucket_that_does_not_exist_is_a_single_error(
    make_videos: MakeVideos,
    bucket: Any,
    tmp_path: Path,
    amcnet_onnx: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_videos("a")
    monkeypatch.chdir(tmp_path)
    status, err = _command(monkeypatch, capsys, "s3://gone/v", "-o", "out", "--amcnet", amcnet_onnx)
    assert status == 2
    assert err.startswith("error: s3://gone/v: there is no such bucket, folder or file")
    status, err = _command(monkeypatch, capsys, "videos", "-o", "s3://gone/out", "--amcnet", amcnet_onnx, "--jobs", 1)
    assert status == 2
    assert err.startswith("error: s3://gone/out/")
    assert "there is no such bucket" in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["videos"]
    assert bucket.ls("") == ["bkt"]


def test_a_bucket_without_permission_is_a_single_error(
    make_videos: MakeVideos,
    refusing: None,
    tmp_path: Path,
    amcnet_onnx: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_videos("a")
    monkeypatch.chdir(tmp_path)
    for arguments in (["s3://bkt/v", "-o", "out"], ["videos", "-o", "s3://bkt/out"]):
        status, err = _command(monkeypatch, capsys, *arguments, "--amcnet", amcnet_onnx, "--jobs", 1)
        assert status == 2
        assert err.startswith("error: s3://bkt/")
        assert "access was refused" in err
        assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["videos"]


def test_nothing_is_uploaded_if_the_run_fails(bucket: Any) -> None:
    def fail() -> None:
        with local_run(InferOptions(source="v.mp4", output="s3://bkt/out")) as local:
            Path(local.output).mkdir()
            Path(local.output, "run.json").write_text("{}")
            raise InputError(f"{local.output}: broken")

    with pytest.raises(InputError, match=r"^s3://bkt/out: broken$"):
        fail()
    assert not bucket.exists("bkt/out/run.json")


def test_addresses_without_their_library_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"^foo://bkt/v: ValueError: Protocol not known: foo"):
        find_videos(("foo://bkt/v",), "out")
    monkeypatch.setattr("amcnet.runtime.extras.is_installed", lambda module: False)
    with pytest.raises(BackendError, match=r"^s3://bkt/v: needs fsspec, .*pip install 'amcnet\[cloud\]'"):
        find_videos(("s3://bkt/v",), "out")


def test_names_of_addresses() -> None:
    assert path_of("https://host/day%201/a.mp4?token=a/b#c") == "host/day 1/a.mp4"
    assert path_of("s3://bucket/day?/a#1.mp4") == "bucket/day?/a#1.mp4"
