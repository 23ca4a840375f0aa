"""amc-eval: table, files, exit status and messages."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from amcnet.benchmarks.accuracy.cli import main

WritePictures = Callable[[Path, dict[str, NDArray[np.uint8]]], None]
MovingSquare = Callable[[Iterable[int]], dict[str, NDArray[np.uint8]]]
Run = Callable[..., int]


@pytest.fixture
def amc_eval(monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["amc-eval", *map(str, arguments)])
        return main()

    return run


@pytest.fixture
def folders(tmp_path: Path, write_pictures: WritePictures, moving_square: MovingSquare) -> tuple[object, ...]:
    """The arguments for two sequences, the one with masks 5 px off."""
    for name, offset in (("exact", 0), ("shifted", 5)):
        write_pictures(tmp_path / "annotations" / name, moving_square([20] * 6))
        write_pictures(tmp_path / "masks" / name / "masks", moving_square([20 + offset] * 6))
    return "--masks", tmp_path / "masks", "--annotations", tmp_path / "annotations"


def test_the_table_is_printed(amc_eval: Run, folders: tuple[object, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert amc_eval(*folders) == 0
    out, err = capsys.readouterr()
    lines = [line.split() for line in out.splitlines()]
    assert lines[2] == ["exact", "4", "100.0", "100.0", "0.0", "100.0", "100.0", "0.0", "100.0"]
    assert lines[3][:4] == ["shifted", "4", "33.3", "0.0"]
    assert lines[-1][:4] == ["average", "8", "66.7", "50.0"]
    assert len(lines) == 5
    assert len({len(line) for line in out.splitlines()[1:]}) == 1  # the columns are aligned
    assert err == ""  # no progress bar without a terminal


def test_bootstrap_intervals_are_printed(
    amc_eval: Run, folders: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "out.json"
    assert amc_eval(*folders, "--bootstrap", "--json", figures) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("95% confidence interval over 2 sequences: J 33.3 to 100.0, F ")
    found = json.loads(figures.read_text())["bootstrap"]
    assert {name: found[name] for name in ("confidence", "draws", "seed")} == {
        "confidence": 0.95,
        "draws": 10_000,
        "seed": 0,
    }
    assert found["J"] == pytest.approx([1 / 3, 1])
    wanted = tmp_path / "wanted.txt"
    wanted.write_text("shifted")
    assert amc_eval(*folders, "--bootstrap", "--sequences", wanted) == 2
    assert "needs two or more: got 1" in capsys.readouterr().err


def test_json_and_contact_sheet_are_written(amc_eval: Run, folders: tuple[object, ...], tmp_path: Path) -> None:
    wanted, figures, sheet = tmp_path / "wanted.txt", tmp_path / "out.json", tmp_path / "out.png"
    wanted.write_text("# only this\n\nshifted\nshifted\n")
    assert amc_eval(*folders, "--sequences", wanted, "--json", figures, "--contact-sheet", sheet) == 0
    found = json.loads(figures.read_text())
    assert list(found["sequences"]) == ["shifted"]
    assert found["average"]["J"]["mean"] == pytest.approx(1 / 3)
    image = cv2.imread(str(sheet))
    assert image is not None
    assert image.shape[1] == 1600
    assert (image == (40, 40, 255)).all(axis=2).any()  # BGR: the worst frame's red was not swapped to blue
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["annotations", "masks", "out.json", "out.png", "wanted.txt"]
    )  # no temporary file stays


def test_the_stability_of_a_video_is_printed(
    amc_eval: Run,
    tmp_path: Path,
    write_pictures: WritePictures,
    moving_square: MovingSquare,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_pictures(tmp_path / "clip", {f"{i:05d}.png": np.full((40, 60, 3), 90, np.uint8) for i in range(3)})
    write_pictures(tmp_path / "masks", moving_square([20, 20, 25]))
    figures = tmp_path / "out.json"
    assert amc_eval("--video", tmp_path / "clip", "--masks", tmp_path / "masks", "--json", figures) == 0
    expected = "temporal stability 66.7 % over 2 pairs of frames, lowest 33.3 % at frame 2\n"
    assert capsys.readouterr().out == expected
    assert json.loads(figures.read_text())["temporal_stability"]["mean"] == pytest.approx(2 / 3)


def test_missing_mask_is_status_2(
    amc_eval: Run, folders: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "masks" / "exact" / "masks" / "00003.png").unlink()
    assert amc_eval(*folders, "--json", tmp_path / "out.json") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: 1 of 8 annotated frames have no mask; the first is ")
    assert not (tmp_path / "out.json").exists()


def test_unwritable_output_is_status_2_after_the_table(
    amc_eval: Run, folders: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert amc_eval(*folders, "--json", tmp_path / "nowhere" / "out.json") == 2
    out, err = capsys.readouterr()
    assert "average" in out
    assert "cannot write" in err
    assert "nowhere" in err


def test_unreadable_list_of_sequences_is_status_2(
    amc_eval: Run, folders: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert amc_eval(*folders, "--sequences", tmp_path / "nowhere.txt") == 2
    assert "nowhere.txt cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--masks", "m"], "one of the arguments --annotations --video is required"),
        (["--masks", "m", "--annotations", "a", "--video", "v"], "not allowed with"),
        (["--masks", "m", "--annotations", "a", "--protocol", "davis17"], "invalid choice: 'davis17'"),
        (["--masks", "m", "--annotations", "a", "--images", "i"], "--images needs --contact-sheet"),
        (
            ["--masks", "m", "--annotations", "a", "--contact-sheet", "o.jpg"],
            "--contact-sheet: got o.jpg, expected a file name that ends in .png",
        ),
        (["--masks", "m", "--video", "v", "--contact-sheet", "o.png"], "need --annotations"),
        (["--masks", "m", "--video", "v", "--bootstrap"], "need --annotations"),
    ],
)
def test_wrong_usage_is_status_2(
    amc_eval: Run, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        amc_eval(*arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
