"""Half files keep their contract, compute mostly in half, and mean the same as the float32 files."""

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

from amcnet.engines.precision.flops import half_share, product_flops
from amcnet.engines.precision.fp16 import HalfReport, convert_to_fp16
from amcnet.engines.precision.fp32_rules import DEFAULT, Fp32Rules
from amcnet.engines.precision.onnx_lint import lint
from amcnet.engines.precision.range_probe import Fp32Region, RangeReport, probe_ranges
from amcnet.export import Exported
from amcnet.export.compare.fp16_emulation import emulate_fp16
from amcnet.runtime.errors import ModelFileError, OutputError
from amcnet.runtime.files.onnx_file import OnnxFile

Feed = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A file in float32, the same in half, the report, and a feed."""

    full: Path
    half: Path
    report: HalfReport
    feed: Feed

    @functools.cached_property
    def expected(self) -> list[NDArray[np.float32]]:
        return _run(self.full, self.feed)

    @functools.cached_property
    def rounded(self) -> list[NDArray[np.float32]]:
        """What the half file computes where halves are kept."""
        path = self.half.with_name(f"rounded_{self.half.name}")
        emulate_fp16(self.half, path)
        return _run(path, self.feed)


def _network(full: Path, feed: Feed) -> Network:
    half = full.with_name(f"half_{full.name}")
    return Network(full=full, half=half, report=convert_to_fp16(full, half), feed=feed)


def _scene(size: tuple[int, int], shift: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: a textured disc before a lit wall, `shift` pixels to the right."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(float)
    wall = np.stack([90 + 60 * x / width, 120 + 30 * np.sin(y / 9), 140 - 50 * y / height], -1)
    inside = (x - width / 2 - shift) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2
    disc = 128 + 90 * np.sin((x - shift) / 5)[..., None] * np.cos(y / 7)[..., None] * np.array([1, 0.6, -0.8])
    noise = np.random.default_rng(shift).normal(0, 4, (height, width, 3))
    return np.clip(np.where(inside[..., None], disc, wall) + noise, 0, 255).astype(np.uint8)


def _planes(picture: NDArray[np.uint8], mean: float = 0.0, std: float = 1.0) -> NDArray[np.float32]:
    return ((picture / 255 - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)


@pytest.fixture(scope="module")
def light(exported: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> Network:
    """MobileNetV2 with attention maps, opset 18, a free batch, and weights stored in half."""
    full = Path(shutil.copy(exported("light-half-weights").file.path, tmp_path_factory.mktemp("light")))
    pictures = [_planes(_scene((128, 128), shift), 0.45, 0.225) for shift in (0, 3)]
    return _network(full, dict(zip(("image", "flow_image"), pictures, strict=True)))


@pytest.fixture(scope="module")
def pwcnet(exported: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> Network:
    """Its flow heads scaled up, so that the flow is some pixels as in a trained network, not hundredths."""
    model = onnx.load(exported("pwcnet").file.path)
    for tensor in model.graph.initializer:
        if "predict.weight" in tensor.name or "context.6.weight" in tensor.name:
            tensor.CopyFrom(numpy_helper.from_array(4 * numpy_helper.to_array(tensor), tensor.name))
    full = tmp_path_factory.mktemp("pwcnet") / "pwcnet.onnx"
    onnx.save(model, full)
    pictures = [_planes(_scene((128, 64), shift)) for shift in (0, 3)]
    return _network(full, dict(zip(("frame", "next_frame"), pictures, strict=True)))


@pytest.fixture(scope="module")
def pipeline(exported: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> Network:
    """ResNet-18 with PWC-Net, opset 17."""
    full = Path(shutil.copy(exported("pipeline").file.path, tmp_path_factory.mktemp("pipeline")))
    frames = [_scene(PIPELINE_SIZE, shift)[None] for shift in (0, 3)]
    return _network(full, dict(zip(("frame", "next_frame"), frames, strict=True)))


@pytest.fixture(params=["light", "pwcnet", "pipeline"])
def network(request: pytest.FixtureRequest) -> Network:
    found: Network = request.getfixturevalue(request.param)
    return found


def _run(path: Path, feed: Feed) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    results: list[NDArray[np.float32]] = session.run(None, dict(feed))
    return results


def _iou(first: NDArray[np.float32], second: NDArray[np.float32], threshold: float) -> float:
    a, b = first >= threshold, second >= threshold
    return float((a & b).sum() / (a | b).sum())


def test_contract_and_metadata_stay(network: Network) -> None:
    full, half = onnx.load(network.full), onnx.load(network.half)
    assert list(half.graph.input) == list(full.graph.input)
    assert list(half.graph.output) == list(full.graph.output)
    assert [f.name for f in half.functions] == [f.name for f in full.functions]
    before, after = OnnxFile.read(network.full).metadata, OnnxFile.read(network.half).metadata
    assert after == before | {"amcnet.precision": "fp16"}


def test_it_is_valid_and_nothing_stands_in_tensorrts_way(network: Network) -> None:
    # strict_mode fails where an operator's inputs differ in type, inside function bodies too.
    onnx.checker.check_model(onnx.inliner.inline_local_functions(onnx.load(network.half)), full_check=True)
    assert lint(network.full) == []
    assert lint(network.half) == []


def test_it_runs_in_onnx_runtime_and_is_finite(network: Network) -> None:
    for expected, result in zip(network.expected, _run(network.half, network.feed), strict=True):
        assert result.dtype == expected.dtype == np.float32
        assert result.shape == expected.shape
        assert np.isfinite(result).all()


def test_nine_tenths_of_the_arithmetic_is_half(network: Network) -> None:
    assert half_share(network.full) == 0
    assert network.report.half_share == half_share(network.half)
    assert 0.9 < network.report.half_share < 1
    assert product_flops(network.half).total() == product_flops(network.full).total()


def test_the_file_is_half_as_large(pwcnet: Network) -> None:
    assert pwcnet.half.stat().st_size < 0.52 * pwcnet.full.stat().st_size


def test_masks_stay(pipeline: Network) -> None:
    expected, rounded = pipeline.expected[0], pipeline.rounded[0]
    assert 1e-5 < np.abs(rounded - expected).max() < 2e-3  # not 0: it does round
    assert _iou(expected, rounded, 0.5) >= 0.995
    # An untrained mask is nearly flat: 0.42 to 0.69. At its median half of all pixels are the close ones.
    assert _iou(expected, rounded, float(np.median(expected))) >= 0.985


def test_masks_and_attention_maps_of_the_light_network_stay(light: Network) -> None:
    outputs = list(zip(light.expected, light.rounded, strict=True))
    assert len(outputs) == 6
    for expected, rounded in outputs:
        # Untrained, its 100 layers amplify any difference: rounding its weights alone moves single pixels by 0.1.
        assert 1e-6 < np.abs(rounded - expected).mean() < 4e-3


def test_flow_stays_within_a_twentieth_of_a_pixel(pwcnet: Network) -> None:
    expected, rounded = pwcnet.expected[0], pwcnet.rounded[0]
    assert np.median(np.hypot(expected[:, 0], expected[:, 1])) > 1
    end_point = np.hypot(*np.moveaxis(rounded - expected, 1, 0))
    assert 1e-6 < np.median(end_point) <= 0.05
    assert end_point.max() < 0.2


def test_polygraphy_compares_the_two(pwcnet: Network, tmp_path: Path) -> None:
    def run(model: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).parent / "polygraphy"
        command = [sys.executable, program, "run", model, "--onnxrt", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    saved = run(pwcnet.full, "--save-outputs", "full.json")
    assert saved.returncode == 0, saved.stderr
    for bound, passes in (("0.5", True), ("1e-9", False)):
        result = run(pwcnet.half, "--load-outputs", "full.json", "--rtol", "0", "--atol", bound)
        assert ("PASSED | Runtime" in result.stdout) is passes, result.stdout
        assert "Comparing Output: 'flow'" in result.stdout


def test_large_flow_is_finer_with_islands(pwcnet: Network, tmp_path: Path) -> None:
    model = onnx.load(pwcnet.full)
    bias = next(t for t in model.graph.initializer if t.name == "network.context.6.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(6), bias.name))  # 120 px
    onnx.save(model, tmp_path / "fast.onnx")
    expected = _run(tmp_path / "fast.onnx", pwcnet.feed)[0]
    bare = Fp32Rules(rules=(), functions=tuple(replace(rule, full=()) for rule in DEFAULT.functions))
    errors = []
    for fp32_regions in (DEFAULT, bare):
        convert_to_fp16(tmp_path / "fast.onnx", tmp_path / "half.onnx", fp32_regions=fp32_regions)
        emulate_fp16(tmp_path / "half.onnx", tmp_path / "rounded.onnx")
        errors.append(np.abs(_run(tmp_path / "rounded.onnx", pwcnet.feed)[0] - expected).mean())
    assert 1.5 * errors[0] < errors[1]  # half steps by 1/16 px there


def test_no_tensor_is_cast_to_the_same_type_twice(network: Network) -> None:
    casts = [(n.input[0], n.attribute[0].i) for n in onnx.load(network.half).graph.node if n.op_type == "Cast"]
    assert len(casts) == len(set(casts))


def test_weights_stored_in_half_are_read_without_a_cast(light: Network) -> None:
    model = onnx.load(light.half)
    halves = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert all(set(node.input[1:]) <= halves for node in convolutions)
    assert not any(node.op_type == "Cast" and node.input[0] in halves for node in model.graph.node)


def test_a_probed_range_makes_an_island(light: Network, tmp_path: Path) -> None:
    report = probe_ranges(light.full, [light.feed])
    # Sums over 64×64 pixels reach 45000 here; such means are fp32_regions by rule, whatever the frames.
    assert {name for region in report.fp32_regions for name in region.nodes} <= set(
        light.report.fp32_regions["means over maps"]
    )
    nodes = tuple(str(node.name) for node in onnx.load(light.full).graph.node if node.op_type == "Conv")[:1]
    region = Fp32Region(tensor="x", max_abs=2e4, reason="|x| reaches 2e+04", nodes=nodes)
    probed = convert_to_fp16(light.full, tmp_path / "probed.onnx", probe=replace(report, fp32_regions=(region,)))
    assert probed.fp32_regions["|x| reaches 2e+04"] == nodes
    more = product_flops(probed.path)["FLOAT"] - product_flops(light.half)["FLOAT"]
    assert more == 2 * 64 * 64 * 32 * 3 * 9  # the first convolution, 3×3, 3 to 32 channels, to 64×64 pixels
    foreign = RangeReport(frames=1, limit=1, max_abs={}, fp32_regions=(replace(region, nodes=("elsewhere",)),))
    with pytest.raises(ModelFileError, match=r"elsewhere.*expected the file that the ranges are of"):
        convert_to_fp16(light.full, tmp_path / "x.onnx", probe=foreign)


def test_weights_beyond_half_are_an_error_or_clipped_and_counted(pwcnet: Network, tmp_path: Path) -> None:
    model = onnx.load(pwcnet.full)
    tensor = next(t for t in model.graph.initializer if t.name == "network.pyramid.0.0.0.weight")
    weights = numpy_helper.to_array(tensor).copy()
    weights[0, 0, 0, :2] = 70000, -1e9
    tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    onnx.save(model, tmp_path / "big.onnx")
    with pytest.raises(
        ModelFileError, match=r"big\.onnx has 2 weights \(.*0\.weight 2\) beyond ±65504.*--allow-clipping"
    ):
        convert_to_fp16(tmp_path / "big.onnx", tmp_path / "half.onnx")
    assert not (tmp_path / "half.onnx").exists()
    report = convert_to_fp16(tmp_path / "big.onnx", tmp_path / "half.onnx", allow_clipping=True)
    assert report.clipped == {tensor.name: 2}
    halves = {t.name: numpy_helper.to_array(t) for t in onnx.load(report.path).graph.initializer}
    assert halves[f"{tensor.name}/half"][0, 0, 0, :2].tolist() == [65504, -65504]


def test_refuses_what_it_cannot_do(pwcnet: Network, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"is 'fp16'; expected 'fp32'; export it again with: export-onnx pwcnet"):
        convert_to_fp16(pwcnet.half, tmp_path / "x.onnx")
    untyped = onnx.load(pwcnet.full)
    untyped.graph.ClearField("value_info")
    onnx.save(untyped, tmp_path / "untyped.onnx")
    with pytest.raises(ModelFileError, match=r"does not say the type of 'pyramid\.0\.0\.0/Conv'"):
        convert_to_fp16(tmp_path / "untyped.onnx", tmp_path / "x.onnx")
    with pytest.raises(OutputError, match="no_such"):
        convert_to_fp16(pwcnet.full, tmp_path / "no_such" / "x.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["untyped.onnx"]


def test_rounding_rounds_what_onnx_runtime_does_not(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]>
        half (float[2] x) => (float[2] y) { h = Cast <to = 10> (x) r = Relu (h) y = Cast <to = 1> (r) }
    """)
    onnx.save(model, tmp_path / "half.onnx")
    emulate_fp16(tmp_path / "half.onnx", tmp_path / "rounded.onnx")
    x = np.array([1 + 2**-12, 1e5], np.float32)
    assert _run(tmp_path / "rounded.onnx", {"x": x})[0].tolist() == [1, np.inf]


def test_flops_as_counted_by_hand(tmp_path: Path) -> None:
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
    conv = 2 * (6 * 4 * 5) * (2 * 9)
    transposed = 2 * (6 * 4 * 5) * (6 * 4)
    matmul = 2 * (6 * 6) * (8 * 10)
    assert product_flops(tmp_path / "m.onnx") == {"FLOAT16": conv + transposed, "FLOAT": matmul}
    assert half_share(tmp_path / "m.onnx") == (conv + transposed) / (conv + transposed + matmul)


def test_flops_inside_functions_count(pwcnet: Network) -> None:
    # The finest correlation alone, at 32×16 with 32 channels: 9 products of 32 pixels with 40 in each of 16 rows.
    assert product_flops(pwcnet.half)["FLOAT"] > 2 * 9 * 16 * 32 * 40 * 32
