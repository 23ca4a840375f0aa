"""The command `amc-calibrate`, and the accuracy gate for a bad calibration."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from amcnet.benchmarks.demo_clip import write_clip
from amcnet.calibration import calibrate_on_batches
from amcnet.calibration.cli import main
from amcnet.export.compare.accuracy_gate import AccuracyGate
from amcnet.runtime.errors import EngineError
from amcnet.runtime.files.bundled_network import DEFAULT_AMCNET
from amcnet.runtime.files.onnx_file import OnnxFile
from amcnet.runtime.inputs.clip_inputs import ClipInputs

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_clip(path, 8)
    return path


@pytest.fixture
def run(command_line: Callable[[str, Callable[[], int]], Run]) -> Run:
    """`run(*arguments) -> (exit status, stdout, stderr)`."""
    return command_line("amc-calibrate", main)


def test_a_calibration_writes_file_and_table(run: Run, clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "light.onnx"
    status, out, err = run(DEFAULT_AMCNET, "--clips", clip, "--target", "cpu", "--frames", 4, "-o", output)
    assert (status, err) == (0, "")
    assert "operators in INT8; in FP32: 5 (two channels)" in out
    assert re.search(
        r"^mean IoU [01]\.\d{4} over 1 frame \(minimum 0\.98\), compared with amcnet-light\.onnx$", out, re.M
    )
    assert "{" not in out
    assert OnnxFile.read(output).precision == "int8"
    assert (tmp_path / "light.json").is_file()
    status, out, err = run(DEFAULT_AMCNET, "--clips", clip, "--frames", 4, "--min-iou", 1, "-o", output)
    assert status == 2
    assert "expected at least 1" in err
    assert not output.exists()


@pytest.mark.slow  # small: test_a_calibration_with_black_frames_is_found_out in engines/test_build.py
def test_black_frames_fail_the_accuracy_gate(clip: Path, tmp_path: Path) -> None:
    file = OnnxFile.read(DEFAULT_AMCNET)
    input_batches = [item.inputs for item in ClipInputs(file, [clip], every=2)]
    black = [{name: np.zeros_like(value) for name, value in input_batches[0].items()}]
    gate = AccuracyGate(reference=file, input_batches=input_batches, min_iou=0.9, on_phase=lambda line: None)
    calibrate_on_batches(file.path, tmp_path / "good.onnx", input_batches, target="tensorrt")
    measured = gate.file(OnnxFile.read(tmp_path / "good.onnx"), tmp_path)
    assert measured["mask"]["mean_iou"] > 0.9
    calibrate_on_batches(file.path, tmp_path / "bad.onnx", black, target="tensorrt")
    with pytest.raises(EngineError, match=r"differs from amcnet-light\.onnx: got .*, expected"):
        gate.file(OnnxFile.read(tmp_path / "bad.onnx"), tmp_path)


@pytest.mark.parametrize(
    ("option", "value"), [("--min-iou", "98"), ("--min-iou", "good"), ("--frames", "0"), ("--frames", "-1")]
)
def test_numbers_out_of_range_are_refused(
    option: str, value: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(DEFAULT_AMCNET, "--clips", "a.mp4", "-o", "x.onnx", f"{option}={value}")
    assert stopped.value.code == 2
    assert f"got {value!r}, expected " in capsys.readouterr().err
