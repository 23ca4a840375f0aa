"""The commands of README.md and docs/ exist and have the options that are written there; test_readme.py runs them."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@functools.cache
def _help(program: str) -> str:
    path = Path(sys.executable).parent / program
    return subprocess.run([path, "--help"], capture_output=True, text=True, check=True).stdout


def test_the_commands_and_their_options_exist() -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    lines = [line for path in documents for line in re.findall(r"^\$ (.+)$", path.read_text(), re.MULTILINE)]
    commands = [shlex.split(line.split("#")[0]) for line in lines if not line.startswith(("pip ", "python ", "make "))]
    assert len(commands) >= 10
    for program, *arguments in commands:
        for option in (argument for argument in arguments if argument.startswith("-")):
            assert re.search(rf"(?<![\w-]){option}\b", _help(program)), f"{program} has no {option}"
