"""BF16: agreement with FP32 masks, and the processors and libraries that support it."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amcnet import Segmenter
from amcnet.benchmarks.demo_clip import write_clip
from amcnet.export.compare.fidelity import mask_fidelity
from amcnet.runtime.backends import onnxruntime_session, open_backend, openvino_backend
from amcnet.runtime.errors import BackendError, InputError
from amcnet.runtime.files.bundled_network import DEFAULT_AMCNET, DEFAULT_INT8
from amcnet.runtime.files.onnx_file import OnnxFile
from amcnet.runtime.infer import InferOptions, infer
from amcnet.runtime.inputs.clip_inputs import ClipInputs
from amcnet.runtime.machine_info import multiplies_bf16
from amcnet.runtime.segmenter_plan import SegmenterPlan

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks/results/bf16.json"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor: 0\nflags\t\t: fpu avx512f avx512_bf16\n", True),
        ("processor: 0\nflags\t\t: fpu avx512f amx_bf16\n", True),
        ("processor: 0\nflags\t\t: fpu avx512f avx512_vnni\n", False),
        ("processor: 0\nFeatures\t: fp asimd bf16\n", True),
        ("processor: 0\nFeatures\t: fp asimd\n", False),
    ],
)
def test_processors_with_bf16_are_recognized(tmp_path: Path, text: str, expected: bool) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert multiplies_bf16(tmp_path / "cpuinfo") == expected
    assert not multiplies_bf16(tmp_path / "absent")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`machine(bf16=..., arm=..., openvino=...)` sets what the checks find."""

    def make(*, bf16: bool = True, arm: bool = False, openvino: bool = True) -> None:
        monkeypatch.setattr(open_backend, "multiplies_bf16", lambda: bf16)
        monkeypatch.setattr(open_backend, "is_arm", lambda: arm)
        monkeypatch.setattr(openvino_backend, "is_installed", lambda: openvino)

    return make


def test_bf16_is_refused_with_the_reason_and_the_fix(machine: Callable[..., None]) -> None:
    machine(bf16=False)
    with pytest.raises(BackendError, match=r"has no BF16 instructions; .* Fix: leave out --precision bf16"):
        Segmenter.load(precision="bf16")
    machine(openvino=False)
    with pytest.raises(BackendError, match=r"needs OpenVINO, which is not installed; .*Fix: pip install 'amcnet"):
        Segmenter.load(precision="bf16")
    machine()
    with pytest.raises(InputError, match="for ONNX files on the CPU"):
        Segmenter.load(precision="bf16", device="cuda")
    with pytest.raises(InputError, match="is INT8; expected an FP32 file"):
        Segmenter.load(DEFAULT_INT8, precision="bf16")
    with pytest.raises(InputError, match=r"a\.engine has its own"):
        Segmenter.load(engine="a.engine", precision="bf16")


def test_files_of_the_user_are_computed_in_bf16_on_request_only(
    amcnet_onnx: Path, machine: Callable[..., None]
) -> None:
    machine()
    assert SegmenterPlan.make(amcnet_onnx, precision="bf16").precision == "bf16"
    assert SegmenterPlan.make(amcnet_onnx).precision == "fp32"


def test_on_arm_bf16_is_an_option_of_onnx_runtime(
    amcnet_onnx: Path, machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(arm=True)
    found: list[Any] = []
    opened = onnxruntime_session._open

    def open_and_note(library: Any, model: Any, options: Any, device: str) -> Any:
        found.append(options)
        return opened(library, model, options, device)

    monkeypatch.setattr(onnxruntime_session, "_open", open_and_note)
    with open_backend.open_backend(OnnxFile.read(amcnet_onnx), 1, bf16=True) as network:
        assert network.name.startswith("ONNX Runtime")
        assert network.name.endswith("CPU, BF16, 1 thread a frame")
    assert found[0].get_session_config_entry("mlas.enable_gemm_fastmath_arm64_bfloat16") == "1"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not multiplies_bf16() or not openvino_backend.is_installed():
        pytest.skip("this processor has no BF16 instructions, or OpenVINO is not installed")
    path = tmp_path_factory.mktemp("bf16") / "clip.mp4"
    write_clip(path, 5)
    return path


def test_masks_agree_with_fp32_and_are_equal_in_each_call(clip: Path) -> None:
    file = OnnxFile.read(DEFAULT_AMCNET)
    batches = [item.inputs for item in ClipInputs(file, [clip])]
    with open_backend.open_backend(file, 1) as exact, open_backend.open_backend(file, 1, bf16=True) as rounded:
        assert mask_fidelity(exact.run, rounded.run, batches).mean_iou > 0.98
        with ThreadPoolExecutor(2) as pool:
            first, again = (list(pool.map(lambda inputs: rounded.run(inputs)["mask"], batches)) for _ in range(2))
        difference = max(
            np.abs(exact.run(inputs)["mask"] - mask).max() for inputs, mask in zip(batches, first, strict=True)
        )
    assert 1e-4 < difference < 0.5, "not computed in BF16, or not the same network"
    np.testing.assert_array_equal(first, again)


def test_the_report_names_the_computed_precision(clip: Path, tmp_path: Path) -> None:
    report = infer(InferOptions(source=clip, output=tmp_path / "out", precision="bf16"))
    assert report["settings"]["files"]["amcnet"]["precision"] == "bf16"
    assert "CPU, BF16, " in report["backend"]
    with pytest.raises(Exception, match="was begun with"):
        infer(InferOptions(source=clip, output=tmp_path / "out", precision="fp32", resume=True))


def test_the_automatic_choice_follows_from_the_measurement() -> None:
    results = json.loads(RESULTS.read_text())
    rerun = "measure again: python -m amcnet.benchmarks.studies.bf16 --help"
    for path in (DEFAULT_AMCNET, DEFAULT_INT8):
        assert results["network_sha256"][path.name] == OnnxFile.read(path).sha256(), rerun
    fp32, bf16, int8 = (results["precisions"][name] for name in ("fp32", "bf16", "int8"))
    assert bf16["passed"]
    assert bf16["mean_iou"] >= results["min_mean_iou"]
    assert bf16["deterministic"]
    assert bf16["ratio"] > max(1, int8["ratio"])
    # BF16 pays from the first seconds of a video on, so no rule for short ones is needed.
    saved_s = (fp32["processor_ms"] - bf16["processor_ms"]) / 1e3
    assert bf16["cold_s"] - fp32["cold_s"] < 50 * saved_s
    assert bf16["warm_s"] - fp32["warm_s"] < 50 * saved_s
