"""SIGTERM and SIGHUP end a command as Ctrl-C does, and a signal while it starts gives no traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from amcnet.runtime.interrupt import GracefulInterrupt, SignalInterrupt

if sys.platform == "win32":
    pytest.skip("signals are of another kind", allow_module_level=True)

MakeClip = Callable[..., Path]


@pytest.fixture(autouse=True)
def _default_handlers() -> Iterator[None]:
    """As in a terminal: where the tests run in the background, children would take over that a signal is ignored."""
    handlers = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    earlier = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in earlier.items():
        signal.signal(number, handler)


# The signal is sent after the third frame, from inside.
_SIGNALED = """
import os, sys
from amcnet.runtime import infer as module
from amcnet.runtime.cli import main

infer, number = module.infer, int(sys.argv.pop(1))

def infer_with_signal(options, progress, **others):
    def after_frame(info, done):
        if done == 3:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number) if number != 2 else None  # `timeout` sends two
        progress(info, done)
    return infer(options, after_frame, **others)

module.infer = infer_with_signal
sys.exit(main())
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_a_playable_overlay(
    tmp_path: Path, make_clip: MakeClip, amcnet_onnx: Path, number: signal.Signals, status: int
) -> None:
    clip, output = make_clip(tmp_path / "clip.mp4", frames=60), tmp_path / "out"
    command = [sys.executable, "-c", _SIGNALED, str(int(number)), clip, "-o", output, "--amcnet", amcnet_onnx]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == status, ended.stderr
    assert ended.stderr.splitlines()[-1] == f"3 frames are done in {output}; continue with --resume"
    assert json.loads((output / "run.json").read_text())["complete"] is False
    with av.open(str(output / "overlay.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3


_ON_TERMINAL = """
import fcntl, os, pty, sys, termios
master, terminal = pty.openpty()
child = os.fork()
if child == 0:
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    for stream in (0, 1, 2):
        os.dup2(terminal, stream)
    os.close(master)
    os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
os.close(terminal)
shown = b""
while b"ready" not in shown:
    shown += os.read(master, 4096)
os.close(master)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_closed_terminal_ends_the_run(tmp_path: Path, make_clip: MakeClip, amcnet_onnx: Path) -> None:
    clip, output = make_clip(tmp_path / "clip.mp4", frames=60), tmp_path / "out"
    # In place of the signal that it sends itself, it waits for the terminal to be closed.
    waits = "os.write(1, b'ready')\n            while os.isatty(1): time.sleep(0.01)\n"
    code = "import time" + _SIGNALED.replace("os.kill(os.getpid(), number)\n", waits, 1)
    command = [sys.executable, "-c", _ON_TERMINAL, code, "2", clip, "-o", output, "--amcnet", amcnet_onnx]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == "129\n"
    assert json.loads((output / "run.json").read_text())["frames"] == 3
    assert (output / "overlay.mp4").exists()


_WHILE_IMPORTING = """
import os, signal, sys
from amcnet.runtime.{package}cli import main

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.argv = ["command", "clip.mp4", "-o", "out"]
sys.exit(main())
"""


@pytest.mark.parametrize("package", ["", "batch."])
@pytest.mark.parametrize("name", ["numpy", "cv2", "av.container", "amcnet.runtime.segmenter", "tqdm"])
def test_ctrl_c_during_imports_prints_no_traceback(tmp_path: Path, package: str, name: str) -> None:
    code = _WHILE_IMPORTING.format(package=package, name=name)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (130, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_that_are_ignored_or_handled_are_not_changed(number: signal.Signals) -> None:
    received: list[Any] = []
    for handler in (signal.SIG_IGN, lambda *_: received.append(True)):
        signal.signal(number, handler)
        with GracefulInterrupt() as graceful_interrupt:
            os.kill(os.getpid(), number)
            graceful_interrupt.check()
        assert signal.getsignal(number) is handler
    assert received == [True]


def test_a_repeated_sigterm_changes_nothing() -> None:
    with GracefulInterrupt(after_frame=True) as graceful_interrupt:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(SignalInterrupt) as raised:
            graceful_interrupt.check()
    assert raised.value.exit_status == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_ends_by_sigterm() -> None:
    with GracefulInterrupt():
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
