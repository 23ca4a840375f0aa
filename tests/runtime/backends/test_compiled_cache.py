"""The cache of compiled networks: equal outputs, and no failure of a run by the cache."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from amcnet.runtime.backends import compiled_cache as module
from amcnet.runtime.backends.compiled_cache import CompiledCache
from amcnet.runtime.backends.openvino_backend import OpenVinoBackend
from amcnet.runtime.files.bundled_network import DEFAULT_AMCNET, DEFAULT_INT8
from amcnet.runtime.files.onnx_file import OnnxFile

KEY = {"file": "a", "options": {"threads": 2}}
INPUTS = {
    name: np.random.default_rng(0).standard_normal((1, 3, 256, 256)).astype(np.float32)
    for name in ("image", "flow_image")
}


@pytest.fixture
def cache(tmp_path: Path) -> CompiledCache:
    return CompiledCache(tmp_path / "home" / "cache")


def _files(cache: CompiledCache) -> list[Path]:
    assert cache.folder is not None
    return sorted(cache.folder.iterdir())


def test_written_files_are_read(cache: CompiledCache) -> None:
    assert cache.read(KEY) is None
    cache.write(KEY, b"compiled")
    assert cache.read(dict(reversed(KEY.items()))) == b"compiled"
    assert cache.read(KEY | {"file": "b"}) is None
    if os.name == "posix":
        assert cache.folder is not None
        assert cache.folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored[:-1],
        lambda stored: b"",
        lambda stored: stored[:10],
        lambda stored: stored[:40] + bytes([stored[40] ^ 1]) + stored[41:],
        lambda stored: bytes(len(stored)),
    ],
)
def test_a_damaged_file_is_replaced(cache: CompiledCache, change: Callable[[bytes], bytes]) -> None:
    cache.write(KEY, b"compiled network")
    (path,) = _files(cache)
    path.write_bytes(change(path.read_bytes()))
    assert cache.read(KEY) is None
    cache.write(KEY, b"compiled network")
    assert cache.read(KEY) == b"compiled network"


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no such owner")
def test_another_users_file_is_not_used(cache: CompiledCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write(KEY, b"compiled")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert cache.read(KEY) is None


def test_a_folder_that_cannot_be_used_disables_the_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for cache in (CompiledCache(tmp_path / "file" / "cache"), CompiledCache(tmp_path / "file"), CompiledCache(None)):
        cache.write(KEY, b"compiled")
        assert cache.read(KEY) is None
    assert (tmp_path / "file").read_text() == "in the way"


def test_concurrent_writers_leave_a_valid_file(cache: CompiledCache) -> None:
    contents = [bytes([index]) * 100_000 for index in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: cache.write(KEY, content), contents * 5))
    assert cache.read(KEY) in contents
    assert len(_files(cache)) == 1


def test_the_least_recently_used_files_are_deleted(cache: CompiledCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 3500)
    for index in range(3):
        cache.write({"file": index}, bytes(1000))
        for age, path in enumerate(sorted(_files(cache), key=lambda path: path.stat().st_mtime, reverse=True)):
            os.utime(path, (1000 - age, 1000 - age))
    assert cache.read({"file": 0}) is not None
    cache.write({"file": 3}, bytes(1000))
    assert [cache.read({"file": index}) is not None for index in range(4)] == [True, False, True, True]
    cache.write({"file": 4}, bytes(4000))
    assert cache.read({"file": 4}) is None, "one file alone is too large"


def test_the_cache_is_in_the_folder_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    folders = {}
    for platform in ("linux", "darwin"):
        monkeypatch.setattr(sys, "platform", platform)
        folders[platform] = CompiledCache.of_user().folder
    assert folders == {
        "linux": tmp_path / ".cache/amcnet/openvino",
        "darwin": tmp_path / "Library/Caches/amcnet/openvino",
    }
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert CompiledCache.of_user().folder == tmp_path / "Local/amcnet/openvino"
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert CompiledCache.of_user().folder == tmp_path / "xdg/amcnet/openvino"

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert CompiledCache.of_user().folder is None


# --- with OpenVINO


# INT8 takes 12 s of processor time: it is compiled twice.
@pytest.mark.parametrize(
    "path", [DEFAULT_AMCNET, pytest.param(DEFAULT_INT8, marks=pytest.mark.slow)], ids=["fp32", "int8"]
)
def test_a_cached_network_has_the_same_outputs(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = OnnxFile.read(path)
    with OpenVinoBackend(file, 1) as network:
        compiled = network.run(INPUTS)["mask"]
    (stored,) = (tmp_path / "amcnet" / "openvino").iterdir()
    modified = stored.stat().st_mtime_ns
    monkeypatch.setattr(CompiledCache, "write", lambda *_: pytest.fail("it was compiled again"))
    with OpenVinoBackend(file, 1) as network:
        np.testing.assert_array_equal(network.run(INPUTS)["mask"], compiled)
    assert stored.stat().st_mtime_ns >= modified
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(CompiledCache, "read", lambda *_: b"something else with a right checksum")
    with OpenVinoBackend(file, 1) as network:
        np.testing.assert_array_equal(network.run(INPUTS)["mask"], compiled)


_LOAD_WITHOUT_SPACE = """
import resource, sys
from amcnet.runtime.files.onnx_file import OnnxFile
from amcnet.runtime.backends.openvino_backend import OpenVinoBackend
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
with OpenVinoBackend(OnnxFile.read(sys.argv[1]), 1) as network:
    print(network.name)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of a file's size")
def test_a_full_disk_or_read_only_home_is_no_error(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    (tmp_path / "file").touch()
    for cache in (tmp_path, tmp_path / "file"):
        done = subprocess.run(
            [sys.executable, "-c", _LOAD_WITHOUT_SPACE, str(DEFAULT_INT8.with_name("amcnet-light.onnx"))],
            env=os.environ | {"XDG_CACHE_HOME": str(cache)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith("OpenVINO")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "file"]
