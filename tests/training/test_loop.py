"""Training loop: resuming, settings, output files, frozen stages."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch

from amcnet.models import load_amcnet
from amcnet.runtime.errors import CheckpointError, InputError, OutputError
from amcnet.training import LIGHT, PAPER, train
from amcnet.training.gradient import Gradient

TINY = dataclasses.replace(LIGHT, batch=4, sizes=(32, 64), warmup=2)


def run(output: Path, iterations: int, **settings: bool | int | float) -> Path:
    return train(TINY, output, iterations=iterations, validate_every=2, save_minutes=0, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{"iterations": 0}, {"iterations": -1}, {"validate_every": 0}])
def test_zero_is_rejected_rather_than_replaced_by_the_default(settings: dict[str, int], tmp_path: Path) -> None:
    name, count = next(iter(settings.items()))
    with pytest.raises(InputError, match=rf"{name}: got {count}, expected 1 or more"):
        train(TINY, tmp_path / "out", **{"iterations": 1, **settings})  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("uninterrupted")
    run(output, 4)
    return output


def run_and_interrupt(output: Path, iterations: int, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start a run of `iterations` and interrupt it once `after` of them are done."""
    fill = Gradient.fill
    left = [after]

    def interrupted(self: Gradient) -> torch.Tensor:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return fill(self)

    with monkeypatch.context() as patch:
        patch.setattr(Gradient, "fill", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(output, iterations)


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_and_interrupt(tmp_path, 4, 3, monkeypatch)
    run(tmp_path, 4, resume=True)

    for name in ("last.pth", "best.pth"):
        expected, resumed = (torch.load(folder / name) for folder in (uninterrupted, tmp_path))
        assert all(torch.equal(expected[key], resumed[key]) for key in expected), name
    rows = [list(csv.DictReader((folder / "log.csv").open())) for folder in (uninterrupted, tmp_path)]
    for row in rows[0] + rows[1]:
        del row["seconds"]
    # The mean loss of the interrupted interval covers only its second part.
    assert [row["iteration"] for row in rows[1]] == ["2", "4"]
    for name in ("J", "F", "J&F"):
        assert [row[name] for row in rows[1]] == [row[name] for row in rows[0]]
    validations = [json.loads((folder / "validation.json").read_text()) for folder in (uninterrupted, tmp_path)]
    assert validations[0] == validations[1]
    assert [validation["iteration"] for validation in validations[0]] == [2, 4]


def test_output_files_exist_and_load(uninterrupted: Path) -> None:
    assert load_amcnet(uninterrupted / "best.pth").config.backbone == "mobilenet_v2"
    assert (uninterrupted / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_resuming_with_another_length_raises(uninterrupted: Path) -> None:
    with pytest.raises(CheckpointError, match="iterations: saved 4, now 5"):
        run(uninterrupted, 5, resume=True)


def test_resuming_with_a_changed_recipe_raises_with_a_fix(uninterrupted: Path) -> None:
    recipe = dataclasses.replace(TINY, ema_span=0.5)
    with pytest.raises(CheckpointError, match=rf"ema_span: saved {TINY.ema_span}, now 0\.5.*--init last\.pth"):
        train(recipe, uninterrupted, iterations=4, resume=True)
    with pytest.raises(CheckpointError, match=r"held_out: saved \['procedural'\], now \[\]"):
        train(TINY, uninterrupted, iterations=4, resume=True, hold_out=False)


def test_a_state_without_a_setting_raises(uninterrupted: Path, tmp_path: Path) -> None:
    state = torch.load(uninterrupted / "state.pth")
    del state["recipe"]["frozen_stages"], state["held_out"]
    torch.save(state, tmp_path / "state.pth")
    with pytest.raises(CheckpointError, match=r"frozen_stages: saved unknown, now 0.*held_out: saved unknown"):
        run(tmp_path, 4, resume=True)


def test_an_existing_training_is_not_overwritten(uninterrupted: Path) -> None:
    with pytest.raises(OutputError, match="--resume"):
        run(uninterrupted, 4)


def test_the_length_of_the_papers_recipe_is_in_epochs(tmp_path: Path, write_sequence: Callable[..., None]) -> None:
    for name in ("a", "b"):
        write_sequence(tmp_path / "davis", name, 5)
    recipe = dataclasses.replace(PAPER, backbone="resnet18", batch=2, sizes=(32,), epochs=2)
    train(recipe, tmp_path / "out", davis=tmp_path / "davis")
    rows = list(csv.DictReader((tmp_path / "out" / "log.csv").open()))
    assert rows[-1]["iteration"] == "4"  # two epochs of the five frames of `a`, batch size 2; `b` is held out
    assert 0 <= float(rows[-1]["J"]) <= 1
    assert load_amcnet(tmp_path / "out" / "best.pth").config.backbone == "resnet18"
    with pytest.raises(InputError, match="got one sequence, expected two or more"):
        train(recipe, tmp_path / "other", davis=tmp_path / "davis", sequences=["a"])


def test_process_wide_settings_are_restored(tmp_path: Path) -> None:
    threads = torch.get_num_threads(), cv2.getNumThreads()
    random = torch.get_rng_state()
    torch.set_num_threads(3)
    cv2.setNumThreads(3)
    try:
        run(tmp_path, 1)
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (3, 3)
        assert torch.equal(torch.get_rng_state(), random)
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])


def test_epochs_without_davis_raise(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="length of the recipe 'paper' is in epochs of DAVIS"):
        train(PAPER, tmp_path)


def test_without_held_out_sequences_the_last_weights_are_the_result(
    tmp_path: Path, write_sequence: Callable[..., None]
) -> None:
    write_sequence(tmp_path / "davis", "only", 4)
    result = train(TINY, tmp_path / "out", davis=tmp_path / "davis", iterations=2, validate_every=1, hold_out=False)
    assert result == tmp_path / "out" / "last.pth"
    assert load_amcnet(result).config.backbone == "mobilenet_v2"
    assert not (tmp_path / "out" / "best.pth").exists()
    assert json.loads((tmp_path / "out" / "validation.json").read_text()) == []


def test_frozen_stages_keep_their_weights_and_the_others_change(uninterrupted: Path, tmp_path: Path) -> None:
    before = torch.load(uninterrupted / "last.pth")
    recipe = dataclasses.replace(TINY, ema_span=0.0)
    train(recipe, tmp_path, init=uninterrupted / "last.pth", iterations=2, frozen_stages=2)
    after = torch.load(tmp_path / "last.pth")
    frozen = ("image_stages.0.", "image_stages.1.", "flow_stages.0.", "flow_stages.1.")
    weights = [key for key in before if key.endswith("weight")]
    assert {key for key in weights if torch.equal(before[key], after[key])} == {
        key for key in weights if key.startswith(frozen)
    }
