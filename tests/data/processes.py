"""Processes that tests start."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until `happened()`. Fails if `process` ends before."""
    while not happened():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
