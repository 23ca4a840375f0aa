"""The commands and options in the documents exist; test_readme.py runs them."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import re
import shlex
import sys
import tomllib
from pathlib import Path
from unittest import mock

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
SUBCOMMANDS = {"export-onnx": ("amcnet", "pwcnet", "raft", "pipeline"), "amc-bench": ("compare",)}
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "SECURITY.md"]
OTHERS = {"--help", "--version", "-n", "-k", "-m", "-c", "-e"}  # of every command, and of pip, pytest and python


@functools.cache
def _help(*command: str) -> str:
    """What `command --help` prints; in this process, since each process costs a second of imports."""
    module, _, function = SCRIPTS[command[0]].partition(":")
    main = getattr(importlib.import_module(module), function)
    with (
        mock.patch.object(sys, "argv", [*command, "--help"]),
        contextlib.redirect_stdout(io.StringIO()) as printed,
        pytest.raises(SystemExit),
    ):
        main()
    return printed.getvalue()


def _has(command: tuple[str, ...], option: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", _help(*command)) is not None


def test_the_commands_and_their_options_exist() -> None:
    blocks = [block for path in DOCUMENTS for block in re.findall(r"```.*\n([^`]+?)```", path.read_text())]
    lines = [line.removeprefix("$ ").split("#")[0] for block in blocks for line in block.splitlines()]
    commands = [shlex.split(line) for line in lines if line.split(" ")[0] in SCRIPTS]
    assert {program for program, *_ in commands} >= {"amc-infer", "export-onnx", "amc-calibrate", "build-engine"}
    for program, *arguments in commands:
        command = (program, *(x for x in arguments[:1] if x in SUBCOMMANDS.get(program, ())))
        for option in (argument for argument in arguments if re.match(r"--?[a-z]", argument)):
            assert _has(command, option), f"{' '.join(command)} has no {option}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_options_in_running_text_exist(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    named = {
        option for code in re.findall(r"`([^`]+)`", text) for option in re.findall(r"(?<![\w-])--?[a-z][\w-]*", code)
    }
    commands = [(program,) for program in SCRIPTS]
    commands += [(program, name) for program, names in SUBCOMMANDS.items() for name in names]
    assert not {option for option in named - OTHERS if not any(_has(command, option) for command in commands)}
