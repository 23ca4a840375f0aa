"""Freed memory stays with the process: few page faults for the frames after the first ones."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

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
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    return {name: text for name, text in os.environ.items() if not name.startswith("MALLOC_")}


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
