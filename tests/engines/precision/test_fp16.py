"""FP16 files keep the interface of the FP32 files and agree with them, also where emulated."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from exports import PIPELINE_SIZE
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from amcnet.benchmarks.latency.graph_cost import graph_cost
from amcnet.engines.precision.fp16 import Fp16Report, convert_to_fp16
from amcnet.engines.precision.fp32_rules import DEFAULT, Fp32Rules
from amcnet.engines.precision.onnx_lint import lint
from amcnet.engines.precision.range_probe import Fp32Region, RangeReport, probe_ranges
from amcnet.export import Exported
from amcnet.export.compare.fp16_emulation import emulate_fp16
from amcnet.runtime.errors import ModelFileError, OutputError
from amcnet.runtime.files.onnx_file import OnnxFile

Inputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Network:
    """An FP32 file, the same in FP16, the report, and inputs."""

    fp32: Path
    fp16: Path
    report: Fp16Report
    inputs: Inputs

    @functools.cached_property
    def expected(self) -> list[NDArray[np.float32]]:
        return _run(self.fp32, self.inputs)

    @functools.cached_property
    def rounded(self) -> list[NDArray[np.float32]]:
        """Outputs of the FP16 file with FP16 arithmetic."""
        path = self.fp16.with_name(f"emulated_{self.fp16.name}")
        emulate_fp16(self.fp16, path)
        return _run(path, self.inputs)


def _network(fp32: Path, inputs: Inputs) -> Network:
    fp16 = fp32.with_name(f"fp16_{fp32.name}")
    return Network(fp32=fp32, fp16=fp16, report=convert_to_fp16(fp32, fp16), inputs=inputs)


def _scene(size: tuple[int, int], shift: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: a textured disc before a lit wall, `shift` pixels to the right."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(float)
    wall = np.stack([90 + 60 * x / width, 120 + 30 * np.sin(y / 9), 140 - 50 * y / height], -1)
    inside = (x - width / 2 - shift) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2
    disc = 128 + 90 * np.sin((x - shift) / 5)[..., None] * np.cos(y / 7)[..., None] * np.array([1, 0.6, -0.8])
    noise = np.random.default_rng(shift).normal(0, 4, (height, width, 3))
    return np.clip(np.where(inside[..., None], disc, wall) + noise, 0, 255).astype(np.uint8)


def _planes(image: NDArray[np.uint8], mean: float = 0.0, std: float = 1.0) -> NDArray[np.float32]:
    return ((image / 255 - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)


@pytest.fixture(scope="module")
def light(exported: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> Network:
    """MobileNetV2 with attention maps, opset 18, a free batch, and weights stored in FP16."""
    full = Path(shutil.copy(exported("light-fp16-weights").file.path, tmp_path_factory.mktemp("light")))
    images = [_planes(_scene((128, 128), shift), 0.45, 0.225) for shift in (0, 3)]
    return _network(full, dict(zip(("image", "flow_image"), images, strict=True)))


@pytest.fixture(scope="module")
def pwcnet(exported: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> Network:
    """Its flow heads scaled up, so that the flow is some pixels as in a trained network, not hundredths."""
    model = onnx.load(exported("pwcnet").file.path)
    for tensor in model.graph.initializer:
        if "predict.weight" in tensor.name or "context.6.weight" in tensor.name:
            tensor.CopyFrom(numpy_helper.from_array(4 * numpy_helper.to_array(tensor), tensor.name))
    full = tmp_path_factory.mktemp("pwcnet") / "pwcnet.onnx"
    onnx.save(model, full)
    images = [_planes(_scene((128, 64), shift)) for shift in (0, 3)]
    return _network(full, dict(zip(("frame", "next_frame"), images, strict=True)))


@pytest.fixture(scope="module")
def pipeline(exported: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> Network:
    """ResNet-18 with PWC-Net, opset 17."""
    full = Path(shutil.copy(exported("pipeline").file.path, tmp_path_factory.mktemp("pipeline")))
    frames = [_scene(PIPELINE_SIZE, shift)[None] for shift in (0, 3)]
    return _network(full, dict(zip(("frame", "next_frame"), frames, strict=True)))


@pytest.fixture(scope="module")
def raft(exported: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> Network:
    full = Path(shutil.copy(exported("raft").file.path, tmp_path_factory.mktemp("raft")))
    images = [_planes(_scene((101, 75), shift)) for shift in (0, 3)]
    return _network(full, dict(zip(("frame", "next_frame"), images, strict=True)))


@pytest.fixture(params=["light", "pwcnet", "pipeline", "raft"])
def network(request: pytest.FixtureRequest) -> Network:
    found: Network = request.getfixturevalue(request.param)
    return found


def _run(path: Path, inputs: Inputs) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    results: list[NDArray[np.float32]] = session.run(None, dict(inputs))
    return results


def _iou(first: NDArray[np.float32], second: NDArray[np.float32], threshold: float) -> float:
    a, b = first >= threshold, second >= threshold
    return float((a & b).sum() / (a | b).sum())


def test_inputs_outputs_and_metadata_are_kept(network: Network) -> None:
    fp32, fp16 = onnx.load(network.fp32), onnx.load(network.fp16)
    assert list(fp16.graph.input) == list(fp32.graph.input)
    assert list(fp16.graph.output) == list(fp32.graph.output)
    assert [f.name for f in fp16.functions] == [f.name for f in fp32.functions]
    before, after = OnnxFile.read(network.fp32).metadata, OnnxFile.read(network.fp16).metadata
    assert after == before | {"amcnet.precision": "fp16"}


def test_the_file_is_valid_and_supported_by_tensorrt(network: Network) -> None:
    # strict_mode fails where an operator's inputs differ in type, inside function bodies too.
    onnx.checker.check_model(onnx.inliner.inline_local_functions(onnx.load(network.fp16)), full_check=True)
    assert lint(network.fp32) == []
    assert lint(network.fp16) == []


def test_outputs_in_onnx_runtime_are_finite(network: Network) -> None:
    for expected, result in zip(network.expected, _run(network.fp16, network.inputs), strict=True):
        assert result.dtype == expected.dtype == np.float32
        assert result.shape == expected.shape
        assert np.isfinite(result).all()


def test_nine_tenths_of_the_arithmetic_is_fp16(network: Network) -> None:
    before, after = graph_cost(network.fp32), graph_cost(network.fp16)
    assert before.by_precision().keys() == {"fp32"}
    assert 0.9 < after.by_precision()["fp16"] / after.macs < 1
    assert after.macs == before.macs


def test_the_file_is_half_as_large(pwcnet: Network) -> None:
    assert pwcnet.fp16.stat().st_size < 0.52 * pwcnet.fp32.stat().st_size


def test_masks_agree_with_fp32(pipeline: Network) -> None:
    expected, rounded = pipeline.expected[0], pipeline.rounded[0]
    assert 1e-5 < np.abs(rounded - expected).max() < 2e-3  # not 0: it does round
    assert _iou(expected, rounded, 0.5) >= 0.995
    # An untrained mask is nearly flat: 0.42 to 0.69. At its median, half of the pixels are close to the threshold.
    assert _iou(expected, rounded, float(np.median(expected))) >= 0.985


def test_masks_and_attention_maps_of_the_light_network_agree_with_fp32(light: Network) -> None:
    outputs = list(zip(light.expected, light.rounded, strict=True))
    assert len(outputs) == 7  # the mask, five attention maps and the co-attention scores
    for expected, rounded in outputs:
        # Untrained, its 100 layers amplify any difference: rounding its weights alone moves single pixels by 0.1.
        assert 1e-6 < np.abs(rounded - expected).mean() < 4e-3


@pytest.mark.parametrize("name", ["pwcnet", "raft"])
def test_flow_agrees_with_fp32_within_a_twentieth_of_a_pixel(name: str, request: pytest.FixtureRequest) -> None:
    network: Network = request.getfixturevalue(name)
    expected, rounded = network.expected[0], network.rounded[0]
    assert np.median(np.hypot(expected[:, 0], expected[:, 1])) > 1
    end_point = np.hypot(*np.moveaxis(rounded - expected, 1, 0))
    assert 1e-6 < np.median(end_point) <= 0.05
    assert end_point.max() < 0.2


def test_correlation_and_coordinates_of_raft_stay_fp32(raft: Network) -> None:
    model = onnx.load(raft.fp16)
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    calls = [node for node in model.graph.node if node.domain == "amcnet"]
    assert [node.op_type for node in calls] == ["AmcCorrelationVolumes"] + 2 * ["AmcCorrelationLookup"]
    for node in calls:
        assert {types.get(name, TensorProto.FLOAT) for name in (*node.input, *node.output)} == {TensorProto.FLOAT}
    assert {"raft/Add", "raft/Add_2", "raft/Resize"} <= set(raft.report.fp32_nodes["flow"])
    assert len(raft.report.fp32_nodes["means over maps"]) == 2 * 21, "the instance norms of both frames"


@pytest.mark.slow
def test_polygraphy_finds_both_files_equal(pwcnet: Network, tmp_path: Path) -> None:
    def run(model: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).parent / "polygraphy"
        command = [sys.executable, program, "run", model, "--onnxrt", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    saved = run(pwcnet.fp32, "--save-outputs", "full.json")
    assert saved.returncode == 0, saved.stderr
    for bound, passes in (("0.5", True), ("1e-9", False)):
        result = run(pwcnet.fp16, "--load-outputs", "full.json", "--rtol", "0", "--atol", bound)
        assert ("PASSED | Runtime" in result.stdout) is passes, result.stdout
        assert "Comparing Output: 'flow'" in result.stdout


def test_fp32_rules_make_large_flow_more_accurate(pwcnet: Network, tmp_path: Path) -> None:
    model = onnx.load(pwcnet.fp32)
    bias = next(t for t in model.graph.initializer if t.name == "network.context.6.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(6), bias.name))  # 120 px
    onnx.save(model, tmp_path / "fast.onnx")
    expected = _run(tmp_path / "fast.onnx", pwcnet.inputs)[0]
    bare = Fp32Rules(rules=(), functions=tuple(replace(rule, fp32_inputs=()) for rule in DEFAULT.functions))
    errors = []
    for rules in (DEFAULT, bare):
        convert_to_fp16(tmp_path / "fast.onnx", tmp_path / "fp16.onnx", rules=rules)
        emulate_fp16(tmp_path / "fp16.onnx", tmp_path / "emulated.onnx")
        errors.append(np.abs(_run(tmp_path / "emulated.onnx", pwcnet.inputs)[0] - expected).mean())
    assert 1.5 * errors[0] < errors[1]  # FP16 has a resolution of 1/16 px there


def test_no_tensor_is_cast_to_the_same_type_twice(network: Network) -> None:
    casts = [(n.input[0], n.attribute[0].i) for n in onnx.load(network.fp16).graph.node if n.op_type == "Cast"]
    assert len(casts) == len(set(casts))


def test_weights_stored_in_fp16_are_read_without_a_cast(light: Network) -> None:
    model = onnx.load(light.fp16)
    stored = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert all(set(node.input[1:]) <= stored for node in convolutions)
    assert not any(node.op_type == "Cast" and node.input[0] in stored for node in model.graph.node)


def test_a_measured_range_makes_an_fp32_region(light: Network, tmp_path: Path) -> None:
    report = probe_ranges(light.fp32, [light.inputs])
    # Sums over 64×64 pixels reach 45000 here; such means stay FP32 by rule, whatever the frames.
    assert {name for region in report.fp32_regions for name in region.nodes} <= set(
        light.report.fp32_nodes["means over maps"]
    )
    nodes = tuple(str(node.name) for node in onnx.load(light.fp32).graph.node if node.op_type == "Conv")[:1]
    region = Fp32Region(tensor="x", max_abs=2e4, reason="|x| reaches 2e+04", nodes=nodes)
    probed = convert_to_fp16(light.fp32, tmp_path / "probed.onnx", probe=replace(report, fp32_regions=(region,)))
    assert probed.fp32_nodes["|x| reaches 2e+04"] == nodes
    more = graph_cost(probed.path).by_precision()["fp32"] - graph_cost(light.fp16).by_precision()["fp32"]
    assert more == 64 * 64 * 32 * 3 * 9  # the first convolution, 3×3, 3 to 32 channels, to 64×64 pixels
    foreign = RangeReport(frames=1, limit=1, max_abs={}, fp32_regions=(replace(region, nodes=("elsewhere",)),))
    with pytest.raises(ModelFileError, match=r"the ranges are of another file .*elsewhere"):
        convert_to_fp16(light.fp32, tmp_path / "x.onnx", probe=foreign)


def test_weights_beyond_fp16_are_an_error_or_clipped_and_counted(pwcnet: Network, tmp_path: Path) -> None:
    model = onnx.load(pwcnet.fp32)
    tensor = next(t for t in model.graph.initializer if t.name == "network.pyramid.0.0.0.weight")
    weights = numpy_helper.to_array(tensor).copy()
    weights[0, 0, 0, :2] = 70000, -1e9
    tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    onnx.save(model, tmp_path / "big.onnx")
    with pytest.raises(
        ModelFileError, match=r"big\.onnx has 2 weights \(.*0\.weight 2\) beyond ±65504.*--allow-clipping"
    ):
        convert_to_fp16(tmp_path / "big.onnx", tmp_path / "fp16.onnx")
    assert not (tmp_path / "fp16.onnx").exists()
    report = convert_to_fp16(tmp_path / "big.onnx", tmp_path / "fp16.onnx", allow_clipping=True)
    assert report.clipped == {tensor.name: 2}
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(report.path).graph.initializer}
    assert stored[f"{tensor.name}/fp16"][0, 0, 0, :2].tolist() == [65504, -65504]


def test_files_that_cannot_be_converted_are_refused(pwcnet: Network, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"got precision 'fp16', expected 'fp32'\. Fix: export-onnx pwcnet"):
        convert_to_fp16(pwcnet.fp16, tmp_path / "x.onnx")
    untyped = onnx.load(pwcnet.fp32)
    untyped.graph.ClearField("value_info")
    onnx.save(untyped, tmp_path / "untyped.onnx")
    with pytest.raises(ModelFileError, match=r"the tensor 'pyramid\.0\.0\.0/Conv' has no type"):
        convert_to_fp16(tmp_path / "untyped.onnx", tmp_path / "x.onnx")
    with pytest.raises(OutputError, match="no_such"):
        convert_to_fp16(pwcnet.fp32, tmp_path / "no_such" / "x.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["untyped.onnx"]


def test_emulation_rounds_operators_that_onnx_runtime_computes_in_fp32(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]>
        g (float[2] x) => (float[2] y) { h = Cast <to = 10> (x) r = Relu (h) y = Cast <to = 1> (r) }
    """)
    onnx.save(model, tmp_path / "fp16.onnx")
    emulate_fp16(tmp_path / "fp16.onnx", tmp_path / "emulated.onnx")
    x = np.array([1 + 2**-12, 1e5], np.float32)
    assert _run(tmp_path / "emulated.onnx", {"x": x})[0].tolist() == [1, np.inf]


def test_multiply_adds_equal_a_count_by_hand(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]>
        g (float[N, 4, 8, 10] x) => (float[N, 6, 6] y) {
            h = Cast <to = 10> (x)
            a = Conv <group = 2, strides = [2, 2], pads = [1, 1, 1, 1]> (h, w)
            b = ConvTranspose <strides = [2, 2]> (a, t)
            c = Cast <to = 1> (b)
            d = Reshape (c, flat)
            e = Transpose <perm = [0, 2, 1]> (d)
            y = MatMul (d, e)
        }
    """)
    shapes = {"w": (6, 2, 3, 3), "t": (6, 6, 2, 2)}
    for name, shape in shapes.items():
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(shape, np.float16), name))
    model.graph.initializer.append(helper.make_tensor("flat", TensorProto.INT64, [3], [0, 0, -1]))
    onnx.save(model, tmp_path / "m.onnx")
    conv = (6 * 4 * 5) * (2 * 9)
    transposed = (6 * 4 * 5) * (6 * 4)
    matmul = (6 * 6) * (8 * 10)
    assert graph_cost(tmp_path / "m.onnx").by_precision() == {"fp16": conv + transposed, "fp32": matmul}


def test_multiply_adds_inside_functions_are_counted(pwcnet: Network) -> None:
    # The finest correlation alone, at 32×16 with 32 channels: 9 products of 32 pixels with 40 in each of 16 rows.
    assert graph_cost(pwcnet.fp16).by_precision()["fp32"] > 9 * 16 * 32 * 40 * 32
