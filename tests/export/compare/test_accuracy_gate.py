"""The accuracy gate accepts files that agree with the FP32 file, by figures computed by hand, and no others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from amcnet.engines.precision.fp16 import convert_to_fp16
from amcnet.export.compare.accuracy_gate import AccuracyGate
from amcnet.runtime.errors import EngineError, ModelFileError
from amcnet.runtime.files import onnx_file
from amcnet.runtime.files.onnx_file import OnnxFile

MASK = "g (float[1, 1, 1, 4] x) => (float[1, 1, 1, 4] mask) { [sigmoid] mask = Sigmoid (x) }"
FLOW = "g (float[1, 2, 1, 4] x) => (float[1, 2, 1, 4] flow) { [relu] flow = Relu (x) }"
# 60000 x exceeds FP16 from 1.1 on, and the softmax of infinities is NaN.
WIDE = """
g (float[1, 1, 1, 4] x) => (float[1, 1, 1, 4] mask)
    <float[1, 1, 1, 4] a, float[1, 1, 1, 4] b, float[1, 1, 1, 1] many = {60000.0}> {
    [a] a = Conv (x, many)
    [b] b = Softmax <axis = 3> (a)
    [mask] mask = Sigmoid (b)
}
"""
INSIDE = np.array([1, 1, 1, -1], np.float32).reshape(1, 1, 1, 4)
Inputs = Mapping[str, NDArray[Any]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., OnnxFile]:
    """`write(graph, **metadata)`: a file of ours, an AMC-Net in float32 but for `metadata`."""

    def make(graph: str, name: str = "reference.onnx", **metadata: str) -> OnnxFile:
        model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {graph}')
        values = {"model": "amcnet", "checkpoint_sha256": "c0ffee", "precision": "fp32"} | metadata
        stated = dict.fromkeys(onnx_file.REQUIRED, "{}") | {f"amcnet.{key}": value for key, value in values.items()}
        onnx.helper.set_model_props(model, stated)
        onnx.save(onnx.shape_inference.infer_shapes(model), tmp_path / name)
        return OnnxFile.read(tmp_path / name)

    return make


def _gate(reference: OnnxFile, *input_batches: NDArray[np.float32], min_iou: float | None = None) -> AccuracyGate:
    return AccuracyGate(
        reference=reference,
        input_batches=[{"x": x} for x in input_batches],
        min_iou=min_iou,
        on_phase=lambda phase: None,
    )


def _without_one(inputs: Inputs) -> Inputs:
    """The mask of `INSIDE` without one of its three pixels, that of anything else as it is."""
    mask = 1 / (1 + np.exp(-inputs["x"]))
    mask[..., 0] = np.where((inputs["x"] == INSIDE).all(), 0, mask[..., 0])
    return {"mask": mask}


def test_masks_below_the_mean_iou_are_refused(write: Callable[..., OnnxFile]) -> None:
    reference, fp16 = write(MASK), write(MASK, "fp16.onnx", precision="fp16")
    gate = _gate(reference, INSIDE, -INSIDE, min_iou=0.83)
    assert gate.engine(fp16, _without_one, "L4 (SM 8.9)") == {
        "of": "engine of fp16.onnx on L4 (SM 8.9)",
        "against": "reference.onnx",
        "mask": {
            "frames": 2,
            "mean_iou": pytest.approx(5 / 6),
            "iou_p1": pytest.approx(2 / 3, abs=0.01),
            "flipped": 1 / 8,
        },
        "min_iou": 0.83,
    }
    with pytest.raises(
        EngineError, match=r"got a mean mask IoU of 0\.8333 over 2 frames, expected at least 0\.84\. Fix: build in FP32"
    ):
        _gate(reference, INSIDE, -INSIDE, min_iou=0.84).engine(fp16, _without_one, "L4")


@pytest.mark.parametrize(("precision", "frames"), [("fp32", 67), ("fp16", 67), ("int8", 17)])
def test_the_bound_depends_on_the_precision(precision: str, frames: int, write: Callable[..., OnnxFile]) -> None:
    # The IoU of one frame is 2/3: among 67 the mean is 0.99502, among 66 0.99495; 0.9804 among 17, 0.979 among 16.
    reference, file = write(MASK), write(MASK, "x.onnx", precision=precision)
    others = [-INSIDE] * (frames - 1)
    found = _gate(reference, INSIDE, *others).engine(file, _without_one, "L4")
    assert found["mask"]["mean_iou"] == pytest.approx(1 - 1 / 3 / frames)
    with pytest.raises(EngineError, match=f"expected at least {found['min_iou']:g}"):
        _gate(reference, INSIDE, *others[1:]).engine(file, _without_one, "L4")


@pytest.mark.parametrize(("precision", "bound"), [("fp16", 0.05), ("int8", 0.5)])
def test_flow_above_the_median_error_is_refused(precision: str, bound: float, write: Callable[..., OnnxFile]) -> None:
    reference = write(FLOW, model="pwcnet")
    file = write(FLOW, "x.onnx", model="pwcnet", precision=precision)
    x = np.ones((1, 2, 1, 4), np.float32)

    def moved(by: float) -> Callable[[Inputs], Inputs]:
        return lambda inputs: {"flow": inputs["x"] + np.array([0.6 * by, 0.8 * by], np.float32).reshape(1, 2, 1, 1)}

    found = _gate(reference, x, x).engine(file, moved(0.99 * bound), "L4")
    assert found["flow"]["median_px"] == pytest.approx(0.99 * bound, rel=1e-4)
    assert found["max_median_px"] == bound
    with pytest.raises(
        EngineError, match=rf"got a median flow difference of .* px over 2 frames, expected at most {bound}"
    ):
        _gate(reference, x, x).engine(file, moved(1.01 * bound), "L4")


def test_fp16_is_emulated_where_onnx_runtime_computes_in_fp32(write: Callable[..., OnnxFile], tmp_path: Path) -> None:
    import onnxruntime

    reference = write(WIDE)
    convert_to_fp16(reference.path, tmp_path / "fp16.onnx")
    x = 20 * np.abs(INSIDE)
    session = onnxruntime.InferenceSession(tmp_path / "fp16.onnx", providers=["CPUExecutionProvider"])
    assert np.isfinite(session.run(None, {"x": x})[0]).all()
    with pytest.raises(ModelFileError, match="'mask' contains NaN or infinite values"):
        _gate(reference, x).file(OnnxFile.read(tmp_path / "fp16.onnx"), tmp_path)


def test_a_file_that_agrees_is_accepted(write: Callable[..., OnnxFile], tmp_path: Path) -> None:
    reference = write(MASK)
    phases: list[str] = []
    gate = AccuracyGate(reference=reference, input_batches=[{"x": INSIDE}] * 2, min_iou=None, on_phase=phases.append)
    found = gate.file(write(MASK, "int8.onnx", precision="int8"), tmp_path)
    assert found["of"] == "int8.onnx in ONNX Runtime on the CPU"
    assert found["mask"]["mean_iou"] == 1
    assert phases == [f"comparing int8.onnx in ONNX Runtime on the CPU, frame {index}/2" for index in (1, 2)]


def test_the_reference_must_be_the_fp32_file_of_the_same_checkpoint(write: Callable[..., OnnxFile]) -> None:
    file = write(MASK, "x.onnx", precision="fp16")
    for reference in (write(MASK, checkpoint_sha256="another"), write(MASK, precision="int8")):
        with pytest.raises(
            EngineError, match=r"is not the FP32 file of x\.onnx: got .*, expected fp32 of c0ffee\. Fix: .*--reference"
        ):
            _gate(reference, INSIDE).engine(file, _without_one, "L4")


def test_frames_that_do_not_fit_are_refused(write: Callable[..., OnnxFile]) -> None:
    reference = write(MASK)
    with pytest.raises(ModelFileError, match=r"reference\.onnx cannot run: got x 1x1x1x3, expected x 1x1x1x4"):
        _gate(reference, INSIDE[..., 1:]).engine(reference, _without_one, "L4")
