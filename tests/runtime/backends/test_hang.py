"""Situations that could hang: concurrent first inferences, a forked child, a library call that never returns."""

from __future__ import annotations

import importlib.util
import multiprocessing
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from amcnet import Segmenter
from amcnet.benchmarks.demo_clip import write_clip
from amcnet.runtime.backends.base import Backend
from amcnet.runtime.backends.onnxruntime_backend import OnnxRuntimeBackend
from amcnet.runtime.backends.openvino_backend import OpenVinoBackend
from amcnet.runtime.errors import BackendError
from amcnet.runtime.files.bundled_network import DEFAULT_AMCNET
from amcnet.runtime.files.onnx_file import OnnxFile

_HANGS_AFTER_S = 240  # what is waited for takes some seconds
_LIBRARIES = [
    "ONNX Runtime",
    pytest.param(
        "OpenVINO",
        marks=pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed"),
    ),
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hang") / "clip.mp4"
    write_clip(path, 4)
    return path


# --- the first inferences of a process

# In these 50 ms a second thread enters pybind11's look-up of numpy, which takes well below one otherwise.
_SLOW_LOOK_UP = """
import sys, time
import numpy.lib
from amcnet.runtime.backends import openvino_backend
from amcnet.runtime.segmenter import Segmenter

before = numpy.lib.NumpyVersion.__init__
def slow(self, version):
    time.sleep(0.05)
    before(self, version)
numpy.lib.NumpyVersion.__init__ = slow
if sys.argv[1] == "ONNX Runtime":
    openvino_backend.runs_in_openvino = lambda file: False
with Segmenter.load() as segmenter:
    print(segmenter.network.name)
    print(sum(1 for _ in segmenter.video(sys.argv[2])))
"""


@pytest.mark.parametrize("library", _LIBRARIES)
def test_the_first_inferences_do_not_wait_for_each_other(clip: Path, library: str) -> None:
    command = [sys.executable, "-c", _SLOW_LOOK_UP, library, str(clip)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_HANGS_AFTER_S)
    name, frames = done.stdout.splitlines()
    assert name.startswith(library)
    assert frames == "4"


# --- a child forked after loading


def _error_of_run(backend: Backend, pipe: Connection) -> None:
    with backend:  # closing must not wait for threads either
        try:
            backend.run({name: np.zeros((1, 3, 256, 256), np.float32) for name in ("image", "flow_image")})
        except BackendError as error:
            pipe.send(str(error))


def _error_of_video(segmenter: Segmenter, clip: Path, pipe: Connection) -> None:
    with segmenter:
        try:
            next(segmenter.video(clip))
        except BackendError as error:
            pipe.send(str(error))


def _in_forked_child(work: object, *arguments: object) -> str:
    receiving, sending = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=work, args=(*arguments, sending))  # type: ignore[arg-type]
    child.start()
    try:
        assert receiving.poll(_HANGS_AFTER_S), "the child hangs"
        said = str(receiving.recv())
        child.join(_HANGS_AFTER_S)
        assert child.exitcode == 0
    finally:
        child.kill()
    return said


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("library", _LIBRARIES)
def test_a_forked_child_gets_an_error_with_the_fix(library: str) -> None:
    file = OnnxFile.read(DEFAULT_AMCNET)
    with OpenVinoBackend(file, 1) if library == "OpenVINO" else OnnxRuntimeBackend(file, 1) as backend:
        said = _in_forked_child(_error_of_run, backend)
        assert "forked from it" in said
        assert "Load the network in the child" in said
        assert "get_context('spawn')" in said


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_segmenter_in_a_forked_child_is_an_error(clip: Path, amcnet_onnx: Path) -> None:
    with Segmenter.load(amcnet_onnx) as segmenter:
        assert "forked from it" in _in_forked_child(_error_of_video, segmenter, clip)
        assert sum(1 for _ in segmenter.video(clip)) == 4, "the parent's is as before"


# --- Ctrl-C while a call never returns

_STUCK = """
import ctypes, os, sys
from amcnet.runtime import mask_networks, segmenter
from amcnet.runtime.cli import main as infer
from amcnet.runtime.command import cli_entry_point

keeps_gil, which, clip, output = sys.argv[1:]
libc = (ctypes.PyDLL if keeps_gil == "True" else ctypes.CDLL)(None)

class Stuck:
    name = "stuck"

    def run(self, inputs):
        os.write(1, b"stuck\\n")
        libc.sleep(3600)

    def close(self): ...

mask_networks.open_backend = lambda *_, **__: Stuck()

@cli_entry_point
def another():
    with segmenter.Segmenter.load() as loaded:
        return sum(1 for _ in loaded.video(clip))

sys.argv = ["amc-infer", clip, "-o", output]
sys.exit(infer() if which == "amc-infer" else another())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of another kind")
@pytest.mark.parametrize("which", ["amc-infer", "another command"])
@pytest.mark.parametrize(
    "keeps_gil", [False, pytest.param(True, marks=pytest.mark.skipif(sys.platform != "linux", reason="needs glibc"))]
)
def test_a_second_ctrl_c_ends_a_call_that_never_returns(
    tmp_path: Path, clip: Path, keeps_gil: bool, which: str
) -> None:
    command = [sys.executable, "-c", _STUCK, str(keeps_gil), which, str(clip), str(tmp_path / "out")]
    # SIGINT may be ignored where the tests run in the background; the child would take that over.
    default = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, default)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        for _ in range(2):
            time.sleep(0.5)  # a person is slower
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=_HANGS_AFTER_S)
    finally:
        process.kill()
    # A shell says 130 to both.
    assert process.returncode == (-signal.SIGINT if keeps_gil else 130), err
    assert "Traceback" not in err
    assert ("press Ctrl-C again to stop at once" in err) == (which == "amc-infer" and not keeps_gil)
