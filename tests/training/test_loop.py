"""The training loop: that it learns, and that being killed changes nothing."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from amcnet import CheckpointError, InputError, OutputError
from amcnet.models import load_amcnet
from amcnet.training import LIGHT, PAPER, train
from amcnet.training.batches import Batch
from amcnet.training.gradient import Gradient

TINY = dataclasses.replace(LIGHT, batch=4, sizes=(32, 64), warmup=2)


def run(output: Path, iterations: int, **settings: bool | int | float) -> Path:
    return train(TINY, output, iterations=iterations, validate_every=2, save_minutes=0, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{"iterations": 0}, {"iterations": -1}, {"validate_every": 0}])
def test_zero_is_a_number_and_not_the_default(settings: dict[str, int], tmp_path: Path) -> None:
    name, count = next(iter(settings.items()))
    with pytest.raises(InputError, match=rf"{name} is {count}; expected 1 or more"):
        train(TINY, tmp_path / "out", **{"iterations": 1, **settings})  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("uninterrupted")
    run(output, 4)
    return output


def test_a_killed_training_ends_with_the_same_weights(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = Gradient.fill
    left = [3]

    def killed(self: Gradient, batch: Batch) -> torch.Tensor:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return fill(self, batch)

    monkeypatch.setattr(Gradient, "fill", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 4)
    monkeypatch.undo()
    run(tmp_path, 4, resume=True)

    for name in ("last.pth", "best.pth"):
        expected, resumed = (torch.load(folder / name) for folder in (uninterrupted, tmp_path))
        assert all(torch.equal(expected[key], resumed[key]) for key in expected), name
    rows = [list(csv.DictReader((folder / "log.csv").open())) for folder in (uninterrupted, tmp_path)]
    for row in rows[0] + rows[1]:
        del row["seconds"]
    # The mean loss of the interval that was cut in two covers its second part only.
    assert [row["iteration"] for row in rows[1]] == ["2", "4"]
    assert [row["J"] for row in rows[1]] == [row["J"] for row in rows[0]]


def test_its_results_are_there_and_load(uninterrupted: Path) -> None:
    assert load_amcnet(uninterrupted / "best.pth").config.backbone == "mobilenet_v2"
    assert (uninterrupted / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_resuming_with_other_settings_is_refused(uninterrupted: Path) -> None:
    with pytest.raises(CheckpointError, match="iterations 4 then, 5 now"):
        run(uninterrupted, 5, resume=True)


def test_a_training_is_not_overwritten(uninterrupted: Path) -> None:
    with pytest.raises(OutputError, match="--resume"):
        run(uninterrupted, 4)


def test_the_papers_recipe_passes_over_davis(tmp_path: Path, write_sequence: Callable[..., None]) -> None:
    for name in ("a", "b"):
        write_sequence(tmp_path / "davis", name, 5)
    recipe = dataclasses.replace(PAPER, backbone="resnet18", batch=2, sizes=(32,), epochs=2)
    train(recipe, tmp_path / "out", davis=tmp_path / "davis")
    rows = list(csv.DictReader((tmp_path / "out" / "log.csv").open()))
    assert rows[-1]["iteration"] == "4"  # two passes over the five frames of `a`, in twos; `b` is held out
    assert 0 <= float(rows[-1]["J"]) <= 1
    assert load_amcnet(tmp_path / "out" / "best.pth").config.backbone == "resnet18"
    with pytest.raises(InputError, match="gives one sequence"):
        train(recipe, tmp_path / "other", davis=tmp_path / "davis", sequences=["a"])


def test_passes_over_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="counts in passes over DAVIS"):
        train(PAPER, tmp_path)
