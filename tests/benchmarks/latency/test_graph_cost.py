"""Multiply-adds and bytes of graphs that are small enough to count by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from onnx import parser, save_model
from torch.utils.flop_counter import FlopCounterMode

from amcnet.benchmarks.latency.graph_cost import GraphCost, cost_json, graph_cost
from amcnet.export.functions import functions
from amcnet.models import AMCNet, AMCNetConfig
from amcnet.runtime.errors import ModelFileError
from amcnet.runtime.files.onnx_file import CONFIG, OnnxFile
from amcnet.runtime.segmenter import DEFAULT_AMCNET

HEADER = '<ir_version: 8, opset_import: ["": 17, "amcnet": 1, "elsewhere": 1]>'


def _cost(folder: Path, graph: str) -> GraphCost:
    path = folder / "net.onnx"
    save_model(parser.parse_model(HEADER + graph), path)
    return graph_cost(path)


def test_cost_of_a_convolution(tmp_path: Path) -> None:
    cost = _cost(
        tmp_path,
        """net (float[1,3,8,10] x, float[16,3,3,3] w, float[16] b) => (float[1,16,4,5] y)
        { c = Conv <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]> (x, w, b)  y = Relu (c) }""",
    )
    (convolution,) = cost.layers  # the Relu is fused into it
    assert cost.macs == convolution.macs == (16 * 4 * 5) * (3 * 3 * 3)
    assert cost.flops == 2 * cost.macs
    assert cost.bytes == 4 * (3 * 8 * 10 + 16 * 3 * 3 * 3 + 16 + 16 * 4 * 5)
    assert cost.precision == "fp32"


def test_a_depthwise_convolution_multiplies_within_its_channel_only(tmp_path: Path) -> None:
    cost = _cost(
        tmp_path,
        """net (float[1,32,6,6] x, float[32,1,3,3] w) => (float[1,32,6,6] y)
        { y = Conv <group = 32, kernel_shape = [3,3], pads = [1,1,1,1]> (x, w) }""",
    )
    assert cost.macs == 32 * 6 * 6 * 9
    assert cost.bytes == 4 * (2 * 32 * 6 * 6 + 32 * 9)


def test_a_transposed_convolution_spreads_each_input(tmp_path: Path) -> None:
    cost = _cost(
        tmp_path,
        """net (float[1,4,5,6] x, float[4,2,4,4] w) => (float[1,2,10,12] y)
        { y = ConvTranspose <kernel_shape = [4,4], strides = [2,2], pads = [1,1,1,1]> (x, w) }""",
    )
    assert cost.macs == (4 * 5 * 6) * (2 * 4 * 4)


def test_a_batched_matrix_product_in_fp16(tmp_path: Path) -> None:
    cost = _cost(
        tmp_path,
        "net (float16[2,7,5] x, float16[2,5,3] w) => (float16[2,7,3] y) { y = MatMul (x, w) }",
    )
    assert cost.macs == 2 * 7 * 3 * 5
    assert cost.bytes == 2 * (2 * 7 * 5 + 2 * 5 * 3 + 2 * 7 * 3)
    assert cost.by_precision() == {"fp16": cost.macs}


def test_elementwise_operators_without_a_product_read_and_write(tmp_path: Path) -> None:
    cost = _cost(
        tmp_path,
        "net (float[1,2,4,4] x, float[1,2,4,4] z) => (float[1,2,4,4] y) { a = Relu (x)  y = Add (a, z) }",
    )
    assert [(layer.kind, layer.macs, layer.bytes) for layer in cost.layers] == [
        ("Relu", 0, 4 * 2 * 32),
        ("Add", 0, 4 * 3 * 32),
    ]


def test_a_residual_addition_reads_the_other_branch(tmp_path: Path) -> None:
    cost = _cost(
        tmp_path,
        """net (float[1,8,4,4] x, float[8,8,1,1] w) => (float[1,8,4,4] y)
        { c = Conv (x, w)  s = Add (c, x)  y = Relu (s) }""",
    )
    assert [(layer.kind, layer.bytes) for layer in cost.layers] == [("Conv", 4 * (128 + 64 + 128)), ("Add", 4 * 128)]


def test_a_quantized_convolution_moves_bytes(tmp_path: Path) -> None:
    cost = _cost(
        tmp_path,
        """net (uint8[1,3,8,8] q, int8[4,3,1,1] w) => (uint8[1,4,8,8] y) <float s = {0.1}, uint8 z = {0}, int8 zw = {0}>
        { x = DequantizeLinear (q, s, z)  dw = DequantizeLinear (w, s, zw)  c = Conv (x, dw)  r = Relu (c)
          y = QuantizeLinear (r, s, z) }""",
    )
    assert [(layer.kind, layer.precision, layer.bytes) for layer in cost.layers] == [
        ("Conv", "int8", 3 * 64 + 12 + 4 * 64)
    ]


def test_operators_inside_functions_are_counted(tmp_path: Path) -> None:
    model = parser.parse_model(
        HEADER
        + """net (float[1,8,4,6] image, float[1,8,4,6] flow) => (float[1,8,4,6] out)
        { out = amcnet.AmcCoAttention (image, flow) }"""
    )
    model.functions.append(next(f for f in functions(17) if f.name == "AmcCoAttention"))
    save_model(model, tmp_path / "net.onnx")
    assert graph_cost(tmp_path / "net.onnx").macs == 2 * (24 * 24 * 8)  # affinity, then the weighted sum


def test_a_shape_that_cannot_be_inferred_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"the shapes of 'y' cannot be inferred\. Fix"):
        _cost(
            tmp_path,
            """net (float[1,3,8,8] x, float[4,3,1,1] w) => (float[1,4,8,8] y)
            { r = elsewhere.Unknown (x)  y = Conv (r, w) }""",
        )


def test_costs_are_grouped_by_parts_of_the_network() -> None:
    cost = graph_cost(DEFAULT_AMCNET)
    groups = cost.groups()
    assert {"image_stages", "flow_stages", "AmcCoAttention", "corrections", "head"} <= set(groups)
    assert sum(group.macs for group in groups.values()) == cost.macs
    # Both streams are the same MobileNetV2.
    assert groups["image_stages"].macs == groups["flow_stages"].macs
    report = cost_json(cost)
    assert len(report["layers"]) == 20
    assert report["layers"][0]["flops"] == 2 * max(layer.macs for layer in cost.layers)


def test_the_cost_of_the_default_network_equals_the_count_of_pytorch() -> None:
    config = AMCNetConfig.from_json(OnnxFile.read(DEFAULT_AMCNET).metadata[CONFIG])
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = AMCNet(config).eval()
        with torch.no_grad():
            network(torch.empty(1, 3, 256, 256), torch.empty(1, 3, 256, 256))
    assert graph_cost(DEFAULT_AMCNET).flops == counter.get_total_flops()
