"""Freed memory stays with the process: few page faults for the frames after the first ones."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from amcnet.runtime import cli
from amcnet.runtime.demo import cli as demo_cli

_FAULTS = """
import resource, sys
from amcnet.runtime.freed_memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def faults_of_frames():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    frames = [b"x" * 25_000_000 for _ in range(4)]  # written, so that each page is needed
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first, *others = [faults_of_frames() for _ in range(5)]
print(first, max(others))
"""


def page_faults(setting: str, environment: dict[str, str]) -> tuple[int, int]:
    """Page faults of the first four frames, and of the worst four after them."""
    command = [sys.executable, "-c", _FAULTS, setting]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    first, worst = map(int, done.stdout.split())
    return first, worst


@pytest.fixture
def environment() -> dict[str, str]:
    """That of the tests, without settings of the C library's memory."""
    return {name: text for name, text in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
class TestKeepFreedMemory:
    def test_kept_memory_has_no_more_page_faults(self, environment: dict[str, str]) -> None:
        first, worst = page_faults("keep", environment)
        assert worst < first / 100

    def test_by_default_the_faults_come_again(self, environment: dict[str, str]) -> None:
        """Otherwise the setting would not be needed."""
        first, worst = page_faults("default", environment)
        assert worst > first / 4

    def test_the_environment_goes_first(self, environment: dict[str, str]) -> None:
        chosen = environment | {"MALLOC_MMAP_THRESHOLD_": "1000000"}
        first, worst = page_faults("keep", chosen)
        assert worst > first / 2


def test_amc_infer_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[None] = []
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: calls.append(None))
    monkeypatch.setattr(sys, "argv", ["amc-infer", str(tmp_path / "absent.mp4")])
    assert cli.main() == 2
    assert len(calls) == 1


def test_amc_demo_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(demo_cli, "keep_freed_memory", lambda: calls.append("kept"))
    monkeypatch.setattr(demo_cli, "require", lambda *_: None)
    server = SimpleNamespace(serve=lambda *_: calls.append("served"))  # the real one needs gradio
    monkeypatch.setitem(sys.modules, "amcnet.runtime.demo.server", server)
    monkeypatch.setattr(sys, "argv", ["amc-demo"])
    assert demo_cli.main() == 0
    assert calls == ["kept", "served"]


_WORKER = """
import sys
from amcnet.runtime.batch import worker
from amcnet.runtime.infer import InferOptions
class Channel:
    def send(self, message):
        print(type(message).__name__)
worker.keep_freed_memory = lambda: print("kept")
worker.run_worker(Channel(), InferOptions(source="", output="", amcnet="absent.onnx"), (), sys.argv[1], None)
"""


def test_workers_of_amc_batch_keep_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WORKER, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["kept", "CannotLoad"]
