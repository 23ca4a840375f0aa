"""The command amc-train."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from amcnet.models import load_amcnet
from amcnet.training import LIGHT, RECIPES
from amcnet.training.cli import main
from amcnet.training.data.procedural import procedural_sample
from amcnet.training.recipe import BASE, OPEN


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


def test_training_on_own_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(3):
        sample = procedural_sample(np.random.default_rng(number))
        cv2.imwrite(str(tmp_path / "images" / f"{number}.jpg"), sample.image)
        cv2.imwrite(str(tmp_path / "masks" / f"{number}.png"), sample.mask)
    monkeypatch.setitem(RECIPES, "open", dataclasses.replace(OPEN, batch=2, sizes=(32,)))
    options = ["--recipe", "open", "--pictures", tmp_path, "--iterations", "2", "--learning-rate", "1e-3"]
    assert call(monkeypatch, *options, "-o", tmp_path / "out") == 0
    validations = json.loads((tmp_path / "out" / "validation.json").read_text())
    assert [list(validation["sequences"]) for validation in validations] == [["pictures"]]
    recipe = torch.load(tmp_path / "out" / "state.pth")["recipe"]
    assert (recipe["learning_rate"], recipe["encoder_rate"]) == (1e-3, pytest.approx(1e-4))


def test_the_base_recipe_with_another_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = dataclasses.replace(BASE, backbone="efficientnet_lite2", batch=2, sizes=(32, 64))
    monkeypatch.setitem(RECIPES, "base", recipe)
    assert call(monkeypatch, "--recipe", "base", "-o", tmp_path / "out", "--iterations", "1") == 0
    assert load_amcnet(tmp_path / "out" / "best.pth").config.backbone == "efficientnet_lite2"


def test_errors_of_the_user_are_reported_with_exit_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "--davis", tmp_path, "-o", tmp_path / "out") == 2
    assert "no folder JPEGImages" in capsys.readouterr().err
    assert call(monkeypatch, "--sequences", tmp_path / "list.txt", "-o", tmp_path / "out") == 2
    assert "list.txt: no such file" in capsys.readouterr().err
    assert call(monkeypatch, "--frozen-stages", "6", "-o", tmp_path / "out") == 2
    assert "expected 0 to 5" in capsys.readouterr().err
    assert call(monkeypatch, "--learning-rate", "0", "-o", tmp_path / "out") == 2
    assert "--learning-rate: got 0.0, expected a number above 0" in capsys.readouterr().err
    assert call(monkeypatch, "--recipe", "open", "--davis", tmp_path, "-o", tmp_path / "out") == 2
    assert "recipe 'open' does not use DAVIS" in capsys.readouterr().err
    assert call(monkeypatch, "--init", tmp_path / "absent.pth", "-o", tmp_path / "out") == 2
    assert "absent.pth: no such file" in capsys.readouterr().err
    assert call(monkeypatch, "--recipe", "paper", "-o", tmp_path / "out") == 2
    assert "is in epochs of DAVIS" in capsys.readouterr().err
