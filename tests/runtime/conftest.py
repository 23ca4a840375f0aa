"""Fixtures for the runtime's tests: clips and tiny networks made by program (see `clips.py`, `networks.py`)."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray


def _load(name: str) -> ModuleType:
    # By path: tests are no package, and `--import-mode=importlib` puts nothing on sys.path.
    path = Path(__file__).parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"amcnet_test_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


_CLIPS = _load("clips")


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Path]:
    """`make_clip(path, *, frames, size, rate, pts, rotation, audio, codec, moving) -> path`, as in `clips.py`."""
    make: Callable[..., Path] = _CLIPS.make_clip
    return make


@pytest.fixture(scope="session")
def clip_picture() -> Callable[..., NDArray[np.uint8]]:
    """`clip_picture(index, size, *, moving) -> (H, W, 3) uint8 RGB`: what such a clip shows, upright."""
    picture: Callable[..., NDArray[np.uint8]] = _CLIPS.clip_picture
    return picture


@pytest.fixture(scope="session")
def kinds() -> ModuleType:
    """The functions of `video_kinds.py`, each of which writes a video or an image of a kind that needs care."""
    return _load("video_kinds")


@pytest.fixture(scope="session")
def tiled_avif() -> Callable[..., bytes]:
    """`tiled_avif(rgb, tile, *, turns) -> bytes`, as in `heif_files.py`."""
    make: Callable[..., bytes] = _load("heif_files").tiled_avif
    return make


@pytest.fixture(scope="session")
def odd_videos(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The `OddVideo`s of `odd_videos.py`, written once."""
    made: list[Any] = _load("odd_videos").make_odd_videos(tmp_path_factory.mktemp("odd"), _CLIPS.make_clip)
    return made


@pytest.fixture(scope="session")
def make_engine() -> Callable[..., Path]:
    """`make_engine(path, network, *, size, card, **plan) -> path`, as in `fake_gpu/engines.py`."""
    make: Callable[..., Path] = _load("fake_gpu/engines").make_engine
    return make


@pytest.fixture(scope="session")
def networks() -> ModuleType:
    """`networks.make_amcnet(path, …)`, `networks.make_pwcnet(path, …)`, `networks.expected_mask(image, flow_image)`."""
    return _load("networks")


@pytest.fixture(scope="session")
def amcnet_onnx(networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny AMC-Net whose masks `networks.expected_mask` gives."""
    path: Path = networks.make_amcnet(tmp_path_factory.mktemp("networks") / "amcnet.onnx")
    return path


@pytest.fixture(scope="session")
def pwcnet_onnx(networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny PWC-Net at 128x64."""
    path: Path = networks.make_pwcnet(tmp_path_factory.mktemp("networks") / "pwcnet.onnx")
    return path


@pytest.fixture
def open_chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Any]]:
    """`open_chromium()` starts a `Chromium` of `chromium.py`, without a network; skips the test where there is none."""
    module = _load("chromium")
    program = module.find_chromium()
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with ExitStack() as started:
        yield lambda: started.enter_context(module.Chromium(program, tmp_path_factory.mktemp("profile")))


@pytest.fixture(scope="session")
def raft_onnx(networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny RAFT at 101x75."""
    path: Path = networks.make_raft(tmp_path_factory.mktemp("networks") / "raft.onnx")
    return path


@pytest.fixture(scope="session")
def on_fake_gpu(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`on_fake_gpu(code, *arguments, **environment)` runs Python code on a machine with a fake GPU.

    In a process of its own, with a driver made of fake_gpu/driver.c, which the real cuda-python finds as it finds the
    real one, by the system's search path; and with the TensorRT of fake_gpu/tensorrt.py, installed as from a wheel.
    """
    return _made_up_machine(tmp_path_factory.mktemp("driver"), "tensorrt-cu13", "10.16.1.11", tensorrt="tensorrt")


@pytest.fixture(scope="session")
def on_tensorrt8(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`on_tensorrt8(code, *arguments, **environment)`: as `on_fake_gpu`, with the TensorRT of fake_gpu/tensorrt8.py."""
    modules = {"tensorrt": "tensorrt8", "tensorrt10": "tensorrt"}
    return _made_up_machine(tmp_path_factory.mktemp("driver8"), "tensorrt", "8.6.1", **modules)


def _made_up_machine(
    folder: Path, wheel: str, version: str, **modules: str
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """modules: name -> file in fake_gpu/, all of them in one wheel."""
    pytest.importorskip("cuda.bindings", reason="cuda-python is not installed: pip install 'cuda-python>=13'")
    compiler = shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("there is no gcc to make the driver for the tests")
    source = Path(__file__).with_name("fake_gpu") / "driver.c"
    options = ["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", str(folder / "libcuda.so.1")]
    subprocess.run([compiler, *options, str(source), "-lpthread", "-ldl"], check=True)
    for module, file in modules.items():
        shutil.copy(source.with_name(f"{file}.py"), folder / f"{module}.py")
    metadata = folder / f"{wheel.replace('-', '_')}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {wheel}\nVersion: {version}\n")
    python_path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    own = {"LD_LIBRARY_PATH": str(folder), "PYTHONPATH": python_path, "PATH": str(Path(sys.executable).parent)}

    def run(code: str, *arguments: object, **environment: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            env=os.environ | own | {name: str(value) for name, value in environment.items()},
            capture_output=True,
            text=True,
            check=False,
        )

    return run
