"""Choice of the bundled network."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from amcnet import Segmenter
from amcnet.runtime import segmenter_plan
from amcnet.runtime.backends import open_backend, openvino_backend
from amcnet.runtime.errors import InputError
from amcnet.runtime.files import bundled_network as bundled_network_module
from amcnet.runtime.files.bundled_network import DEFAULT_AMCNET, DEFAULT_INT8, bundled_network
from amcnet.runtime.files.onnx_file import CHECKPOINT_SHA256, OnnxFile
from amcnet.runtime.frame import SourceInfo
from amcnet.runtime.infer import InferOptions, infer
from amcnet.runtime.machine_info import is_amd, multiplies_int8
from amcnet.runtime.segmenter_plan import INT8_PAYS_FROM_FRAMES, SegmenterPlan

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor: 0\nflags\t\t: fpu avx2 avx512f avx512_vnni\n", True),
        ("processor: 0\nflags\t\t: fpu avx2 avx_vnni\n", True),
        ("processor: 0\nflags\t\t: fpu avx2 avx512f\n", False),
        ("processor: 0\nFeatures\t: fp asimd asimddp\n", True),
        ("processor: 0\nFeatures\t: fp asimd\n", False),
        ("", False),
    ],
)
def test_int8_instructions_of_processors_are_recognized(tmp_path: Path, text: str, expected: bool) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert multiplies_int8(tmp_path / "cpuinfo") == expected
    assert not multiplies_int8(tmp_path / "absent")


def test_auto_precision_depends_on_processor_library_and_length(monkeypatch: pytest.MonkeyPatch) -> None:
    for fast in (True, False):
        monkeypatch.setattr(bundled_network_module, "multiplies_int8", lambda fast=fast: fast)
        assert bundled_network("auto", "cpu") == (DEFAULT_INT8 if fast else DEFAULT_AMCNET)
        assert bundled_network("auto", "cuda") == DEFAULT_AMCNET
        assert bundled_network("int8", "cpu") == DEFAULT_INT8
        assert bundled_network("fp32", "cpu") == DEFAULT_AMCNET


@pytest.mark.parametrize(
    ("frames", "precision", "openvino", "bf16", "expected"),
    [
        (INT8_PAYS_FROM_FRAMES - 1, "auto", True, False, "fp32"),
        (INT8_PAYS_FROM_FRAMES, "auto", True, False, "int8"),
        (None, "auto", True, False, "int8"),
        (1, "auto", False, False, "int8"),
        (1, "int8", True, False, "int8"),
        (INT8_PAYS_FROM_FRAMES, "fp32", True, False, "fp32"),
        (1, "auto", True, True, "bf16"),
        (None, "auto", True, True, "bf16"),
        (None, "auto", False, True, "int8"),
        (None, "int8", True, True, "int8"),
        (None, "fp32", True, True, "fp32"),
    ],
)
def test_bf16_is_preferred_and_short_videos_do_not_use_int8(
    monkeypatch: pytest.MonkeyPatch, frames: int | None, precision: str, openvino: bool, bf16: bool, expected: str
) -> None:
    monkeypatch.setattr(bundled_network_module, "multiplies_int8", lambda: True)
    for module in (segmenter_plan, open_backend):
        monkeypatch.setattr(module, "multiplies_bf16", lambda: bf16)
        monkeypatch.setattr(module, "is_arm", lambda: False)
    for module in (segmenter_plan, openvino_backend):
        monkeypatch.setattr(module, "is_installed", lambda: openvino)
    monkeypatch.setattr(segmenter_plan, "is_amd", lambda: False)
    assert SegmenterPlan.make(precision=precision, frames=frames).precision == expected


def test_int8_is_not_chosen_for_onnx_runtime_on_amd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled_network_module, "multiplies_int8", lambda: True)
    monkeypatch.setattr(segmenter_plan, "is_installed", lambda: False)
    for amd, expected in ((True, "fp32"), (False, "int8")):
        monkeypatch.setattr(segmenter_plan, "is_amd", lambda amd=amd: amd)
        assert SegmenterPlan.make().precision == expected
    assert SegmenterPlan.make(precision="int8").precision == "int8"


def test_the_choice_of_int8_in_onnx_runtime_follows_from_the_measurement() -> None:
    measured = json.loads((ROOT / "benchmarks/results/cpu-speed.json").read_text())
    processor, int8 = measured["machine"]["processor"], measured["network"]["ONNX Runtime int8"]
    if processor.startswith("AMD"):
        assert int8["ratio_max"] < 1, "INT8 is slower than FP32"
    else:
        assert int8["ratio"] > 1, f"INT8 is faster than FP32 on {processor}"


@pytest.mark.parametrize(("vendor", "amd"), [("AuthenticAMD", True), ("GenuineIntel", False), (None, False)])
def test_amd_is_recognized_by_its_vendor(tmp_path: Path, vendor: str | None, amd: bool) -> None:
    if vendor is not None:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n")
    assert is_amd(tmp_path / "cpuinfo") is amd


def test_a_resumed_run_uses_the_same_network(
    monkeypatch: pytest.MonkeyPatch, make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    monkeypatch.setattr(bundled_network_module, "multiplies_int8", lambda: True)
    monkeypatch.setattr(segmenter_plan, "is_installed", lambda: True)
    monkeypatch.setattr(segmenter_plan, "multiplies_bf16", lambda: False)
    clip = make_clip(tmp_path / "clip.mp4", frames=6)
    whole, stopped = (InferOptions(source=clip, output=tmp_path / name) for name in ("whole", "stopped"))
    assert infer(whole)["settings"]["files"]["amcnet"]["precision"] == "fp32"

    def stop(_: SourceInfo, done: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        infer(stopped, stop)
    assert infer(replace(stopped, resume=True))["settings"]["files"]["amcnet"]["precision"] == "fp32"
    for index in range(6):
        mask = f"masks/{index:05d}.png"
        assert (tmp_path / "stopped" / mask).read_bytes() == (tmp_path / "whole" / mask).read_bytes()


def test_unavailable_precisions_are_refused(amcnet_onnx: Path) -> None:
    with pytest.raises(InputError, match="for CPUs"):
        bundled_network("int8", "cuda")
    with pytest.raises(InputError, match="expected one of auto, fp32, bf16, int8"):
        bundled_network("int4", "cpu")
    with pytest.raises(InputError, match="has its own"):
        Segmenter.load(amcnet_onnx, precision="int8")


def test_fp32_and_int8_files_are_one_network_and_small() -> None:
    float_file, int8_file = OnnxFile.read(DEFAULT_AMCNET, "amcnet"), OnnxFile.read(DEFAULT_INT8, "amcnet")
    assert (float_file.precision, int8_file.precision) == ("fp32", "int8")
    assert int8_file.metadata[CHECKPOINT_SHA256] == float_file.metadata[CHECKPOINT_SHA256]
    assert sum(path.stat().st_size for path in DEFAULT_AMCNET.parent.iterdir()) < 25e6
    card = (DEFAULT_AMCNET.parent / "README.md").read_text()
    assert int8_file.sha256() in card
    results = json.loads((ROOT / "benchmarks/results/davis16-int8.json").read_text())
    assert results["amcnet_sha256"] == int8_file.sha256()
    assert f"{100 * results['variants']['default']['average']['J&F']:.1f} (`benchmarks" in card
