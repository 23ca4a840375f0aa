"""The command `export-onnx`: its notes, errors and help."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from amcnet.export import cli
from amcnet.models.amcnet import BACKBONES


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["export-onnx", *arguments])
    return cli.main()


def test_a_size_is_rounded_up_with_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "pwcnet", "--seed", "1", "--size", "100x60", "-o", str(tmp_path)) == 0
    out, err = capsys.readouterr()
    assert "100x60 is rounded up to 128x64" in err
    assert "max |ONNX Runtime - PyTorch|" in out
    assert (tmp_path / "pwcnet.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["amcnet"], "got neither, expected --checkpoint FILE or --seed N (untrained weights)"),
        (["pwcnet", "--checkpoint", "a.pth", "--seed", "1"], "got both"),
        (["amcnet", "--checkpoint", "absent.pth"], "absent.pth: no such file"),
        (["pipeline", "--pwcnet-checkpoint", "p.pth"], "expected --amcnet-checkpoint FILE"),
        (["pipeline", "--pwcnet-checkpoint", "p.pth", "--raft-checkpoint", "r.pth"], "expected one of them"),
        (["raft", "--checkpoint", "absent.pth"], "absent.pth: no such file"),
    ],
)
def test_errors_are_a_message_and_status_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _run(monkeypatch, *arguments, "-o", str(tmp_path)) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [["pwcnet", "--size", "big"], ["resnet"], ["amcnet", "--opset", "20"], ["raft", "--iterations", "0"]],
)
def test_wrong_arguments_end_with_status_2(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        _run(monkeypatch, *arguments)
    assert exit_.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_all_backbones_can_be_exported() -> None:
    assert set(cli._BACKBONES) == set(BACKBONES)


def test_help_has_examples(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        _run(monkeypatch, "--help")
    assert exit_.value.code == 0
    assert "export-onnx pipeline --amcnet-checkpoint" in capsys.readouterr().out
