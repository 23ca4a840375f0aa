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
from amcnet.runtime.batch.options import settings_sha256
from amcnet.runtime.errors import InputError
from amcnet.runtime.files import bundled_network as bundled_network_module
from amcnet.runtime.files.bundled_network import DEFAULT_AMCNET, DEFAULT_INT8, MODELS, WEIGHTS, bundled_network
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
        assert bundled_network("light", "auto", "cpu") == (DEFAULT_INT8 if fast else DEFAULT_AMCNET)
        assert bundled_network("light", "auto", "cuda") == DEFAULT_AMCNET
        assert bundled_network("light", "int8", "cpu") == DEFAULT_INT8
        assert bundled_network("light", "fp32", "cpu") == DEFAULT_AMCNET


@pytest.mark.parametrize(("model", "size"), [("light", (256, 256)), ("base", (384, 384))])
def test_each_model_has_a_file_for_each_precision(model: str, size: tuple[int, int]) -> None:
    for precision in ("fp32", "int8"):
        file = OnnxFile.read(bundled_network(model, precision, "cpu"), "amcnet")
        assert file.path.name.startswith(f"amcnet-{model}.")
        assert (file.precision, file.preprocessing.size) == (precision, size)
        plan = SegmenterPlan.make(model=model, precision=precision)
        assert (plan.model, plan.file.sha256()) == (model, file.sha256())
    assert bundled_network(model, "bf16", "cpu") == bundled_network(model, "fp32", "cuda")


def _pretend(monkeypatch: pytest.MonkeyPatch, *, bf16: bool, openvino: bool) -> None:
    """A processor of Intel with VNNI, and with BF16 or not; OpenVINO is installed or not."""
    monkeypatch.setattr(bundled_network_module, "multiplies_int8", lambda: True)
    for module in (segmenter_plan, open_backend):
        monkeypatch.setattr(module, "multiplies_bf16", lambda: bf16)
        monkeypatch.setattr(module, "is_arm", lambda: False)
    for module in (segmenter_plan, openvino_backend):
        monkeypatch.setattr(module, "is_installed", lambda: openvino)
    monkeypatch.setattr(segmenter_plan, "is_amd", lambda: False)


@pytest.mark.parametrize(
    ("frames", "precision", "openvino", "bf16", "expected"),
    [
        (INT8_PAYS_FROM_FRAMES["light"] - 1, "auto", True, False, "fp32"),
        (INT8_PAYS_FROM_FRAMES["light"], "auto", True, False, "int8"),
        (None, "auto", True, False, "int8"),
        (1, "auto", False, False, "int8"),
        (1, "int8", True, False, "int8"),
        (INT8_PAYS_FROM_FRAMES["light"], "fp32", True, False, "fp32"),
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
    _pretend(monkeypatch, bf16=bf16, openvino=openvino)
    assert SegmenterPlan.make(precision=precision, frames=frames).precision == expected


def test_int8_pays_after_fewer_frames_in_the_larger_network(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, bf16=False, openvino=True)
    between = INT8_PAYS_FROM_FRAMES["base"]
    assert between < INT8_PAYS_FROM_FRAMES["light"]
    chosen = {model: SegmenterPlan.make(model=model, frames=between).precision for model in MODELS}
    assert chosen == {"light": "fp32", "base": "int8"}
    assert SegmenterPlan.make(model="base", frames=between - 1).precision == "fp32"


def test_bf16_is_chosen_only_for_networks_whose_masks_in_bf16_were_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, bf16=True, openvino=True)
    chosen = {model: SegmenterPlan.make(model=model).precision for model in MODELS}
    assert chosen == {"light": "bf16", "base": "int8"}
    assert SegmenterPlan.make(model="base", precision="bf16").precision == "bf16"


def test_int8_is_not_chosen_for_onnx_runtime_on_amd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled_network_module, "multiplies_int8", lambda: True)
    monkeypatch.setattr(segmenter_plan, "is_installed", lambda: False)
    for amd, expected in ((True, "fp32"), (False, "int8")):
        monkeypatch.setattr(segmenter_plan, "is_amd", lambda amd=amd: amd)
        assert SegmenterPlan.make().precision == expected
    assert SegmenterPlan.make(precision="int8").precision == "int8"


def test_the_choice_of_int8_in_onnx_runtime_follows_from_the_measurement() -> None:
    measured = json.loads((ROOT / "benchmarks/results/cpu-speed-light-bf16.json").read_text())
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


def test_a_run_is_not_resumed_with_another_model(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=6)
    options = InferOptions(source=clip, output=tmp_path / "out", precision="fp32")

    def stop(_: SourceInfo, done: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        infer(options, stop)
    with pytest.raises(InputError, match=r"was begun with model 'light', now it is 'base'; expected the same"):
        infer(replace(options, resume=True, model="base"))
    assert infer(replace(options, resume=True))["settings"]["model"] == "light"


def test_another_model_is_other_settings_of_a_batch() -> None:
    options = InferOptions(source="", output="", precision="fp32")
    hashes = {settings_sha256(replace(options, model=model)) for model in (*MODELS, *MODELS)}
    assert len(hashes) == len(MODELS)


def test_unavailable_models_and_precisions_are_refused(amcnet_onnx: Path) -> None:
    with pytest.raises(InputError, match="for CPUs"):
        bundled_network("light", "int8", "cuda")
    with pytest.raises(InputError, match="expected one of auto, fp32, bf16, int8"):
        bundled_network("light", "int4", "cpu")
    for file in (None, amcnet_onnx):
        with pytest.raises(InputError, match=r"^model is 'large'; expected light or base$"):
            Segmenter.load(file, model="large")
    with pytest.raises(InputError, match="has its own"):
        Segmenter.load(amcnet_onnx, precision="int8")


@pytest.mark.parametrize(("model", "megabytes"), [("light", 15), ("base", 40)])
def test_the_files_of_a_model_are_one_network_and_small(model: str, megabytes: float) -> None:
    float_file, int8_file = (OnnxFile.read(bundled_network(model, each, "cpu"), "amcnet") for each in ("fp32", "int8"))
    assert (float_file.precision, int8_file.precision) == ("fp32", "int8")
    assert int8_file.metadata[CHECKPOINT_SHA256] == float_file.metadata[CHECKPOINT_SHA256]
    files = list(WEIGHTS.glob(f"amcnet-{model}.*"))
    assert {float_file.path, int8_file.path} < set(files)
    assert sum(path.stat().st_size for path in files) <= megabytes * 1e6


def test_all_weights_belong_to_a_model() -> None:
    others = {path.name for path in WEIGHTS.iterdir()} - {"README.md"}
    assert {name.split(".")[0] for name in others} == {f"amcnet-{model}" for model in MODELS}
