"""The command amc-train."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from amcnet.models import load_amcnet
from amcnet.training import LIGHT, RECIPES
from amcnet.training.cli import main


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["amc-train", *map(str, arguments)])
    return main()


def test_training_without_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(RECIPES, "light", dataclasses.replace(LIGHT, batch=2, sizes=(32,)))
    assert call(monkeypatch, "-o", tmp_path / "out", "--iterations", "2") == 0
    assert load_amcnet(tmp_path / "out" / "best.pth").config.backbone == "mobilenet_v2"
    assert str(tmp_path / "out" / "best.pth") in capsys.readouterr().out


def test_errors_of_the_user_are_reported_with_exit_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "--davis", tmp_path, "-o", tmp_path / "out") == 2
    assert "no folder JPEGImages" in capsys.readouterr().err
    assert call(monkeypatch, "--sequences", tmp_path / "list.txt", "-o", tmp_path / "out") == 2
    assert "list.txt: no such file" in capsys.readouterr().err
    assert call(monkeypatch, "--frozen-stages", "6", "-o", tmp_path / "out") == 2
    assert "expected 0 to 5" in capsys.readouterr().err
    assert call(monkeypatch, "--init", tmp_path / "absent.pth", "-o", tmp_path / "out") == 2
    assert "absent.pth: no such file" in capsys.readouterr().err
    assert call(monkeypatch, "--recipe", "paper", "-o", tmp_path / "out") == 2
    assert "is in epochs of DAVIS" in capsys.readouterr().err
