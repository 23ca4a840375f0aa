"""The precision report, for layers counted by hand and in networks parsed by TensorRT-RTX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from amcnet.engines.build_process import build_in_process
from amcnet.engines.require_precision import require_fp16_share, require_int8_share
from amcnet.engines.tensorrt_builder import Settings
from amcnet.runtime.errors import EngineError
from amcnet.runtime.trt.precision_report import Layer, PrecisionReport


def _layer(name: str, kind: str, precision: str, flops: int, origin: str = "") -> Layer:
    return Layer(name=name, kind=kind, precision=precision, flops=flops, origin=origin)


LAYERS = (
    _layer("a/Conv", "convolution", "half", 600),
    _layer("b/Conv", "convolution", "int8", 310),
    _layer("c/Conv", "deconvolution", "float", 20),
    _layer("c/Relu", "activation", "float", 0),
    _layer("node_of_x", "matrix_multiply", "float", 40, "[ONNX Layer: node_of_x | d/AmcWarp (AmcWarp)]"),
    _layer("node_of_y", "matrix_multiply", "float", 30, "[ONNX Layer: node_of_y | d/AmcWarp (AmcWarp)]"),
    _layer("node_of_y_1", "cast", "float", 0, "[ONNX Layer: node_of_y | e/AmcWarp (AmcWarp)]"),
    _layer("node_of_z", "matrix_multiply", "half", 0, "[ONNX Layer: node_of_z | f (AmcCorrelation)]"),
)


def test_layers_operations_kinds_and_functions_are_counted() -> None:
    precision_report = PrecisionReport.of(LAYERS)
    assert precision_report.layers == {"half": 2, "int8": 1, "float": 3}
    assert precision_report.flops == {"half": 600, "int8": 310, "float": 90}
    assert precision_report.kinds == {
        "activation": 1,
        "cast": 1,
        "convolution": 2,
        "deconvolution": 1,
        "matrix_multiply": 3,
    }
    assert precision_report.functions == {"AmcCorrelation": 1, "AmcWarp": 2}
    assert precision_report.float_layers == ("d/AmcWarp", "c/Conv")
    assert precision_report.share("half") == 0.6
    assert precision_report.low_share == pytest.approx(0.91)
    assert "FP16 60.0 % (2 layers), INT8 31.0 % (1 layers), FP32 9.0 % (3 layers)" in str(precision_report)


def test_fp16_requires_nine_tenths_in_fp16() -> None:
    require_fp16_share(PrecisionReport.of(LAYERS), "x.onnx")
    with pytest.raises(EngineError, match=r"only 89\.2 % of the operations of x\.onnx are in FP16.*d/AmcWarp, c/Conv"):
        require_fp16_share(PrecisionReport.of((*LAYERS, _layer("g/Conv", "convolution", "float", 20))), "x.onnx")
    with pytest.raises(EngineError, match=r"only 0\.0 %"):
        require_fp16_share(PrecisionReport.of(()), "x.onnx")


def test_int8_requires_eight_tenths_in_int8() -> None:
    mostly = (_layer("a/Conv", "convolution", "int8", 800), _layer("b/Conv", "convolution", "float", 200))
    require_int8_share(PrecisionReport.of(mostly), "x.onnx")
    with pytest.raises(EngineError, match=r"only 31\.0 % of the operations of x\.onnx are in INT8.*d/AmcWarp, c/Conv"):
        require_int8_share(PrecisionReport.of(LAYERS), "x.onnx")


SETTINGS = Settings(
    flavor="tensorrt-rtx",
    shapes={},
    compute_capability=("8.6",),
    timing_cache=None,
    version_compatible=False,
    hardware_compatible=False,
    workspace_mib=None,
    optimization_level=None,
)
WEIGHTS: dict[str, tuple[int, ...]] = {"grouped": (6, 2, 3, 3), "up": (6, 4, 2, 2), "constant": (4, 5)}


@pytest.fixture
def report_of(tmp_path: Path) -> Callable[..., PrecisionReport]:
    """`report_of(graph)`: report of TensorRT-RTX for a graph in ONNX's text form, with the weights above."""
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install 'amcnet[rtx]'")

    def build(text: str, settings: Settings = SETTINGS) -> PrecisionReport:
        model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {text}')
        dtype = np.float16 if "float16" in text else np.float32
        for name, shape in WEIGHTS.items():
            if name in text:
                values = np.ones(shape, dtype)
                model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
        path = tmp_path / "x.onnx"
        onnx.save(model, path)
        return build_in_process(path, tmp_path / "x.plan", tmp_path / "x.log", settings).precision_report

    return build


NETWORK = """
g ({type}[1, 4, 8, 8] x, {type}[1, 1, 7, 4] a)
    => ({type}[1, 4, 12, 12] y, {type}[1, 1, 4, 4] p, {type}[1, 1, 7, 5] q) {{
    c = Conv <group = 2> (x, grouped)
    y = ConvTranspose <strides = [2, 2]> (c, up)
    t = Transpose <perm = [0, 1, 3, 2]> (a)
    p = MatMul (t, a)
    q = MatMul (a, constant)
}}
"""


@pytest.mark.parametrize(("dtype", "precision"), [("float", "float"), ("float16", "half")])
def test_flops_of_a_parsed_network_are_counted(
    dtype: str, precision: str, report_of: Callable[..., PrecisionReport]
) -> None:
    precision_report = report_of(NETWORK.format(type=dtype))
    convolution = 2 * (6 * 6 * 6) * (2 * 3 * 3)  # outputs (6, 6, 6), each of 2 channels of 3×3
    transposed = 2 * (6 * 6 * 6) * (4 * 2 * 2)  # inputs (6, 6, 6), each into 4 channels of 2×2
    products = 2 * (4 * 4) * 7 + 2 * (7 * 5) * 4
    assert precision_report.flops == {precision: convolution + transposed + products}
    assert precision_report.layers == {precision: 4}


FREE = "g (float[N, 4, 8, 8] x) => (float[N, 6, 6, 6] y) { y = Conv <group = 2> (x, grouped) }"


def test_a_free_batch_counts_as_one(report_of: Callable[..., PrecisionReport]) -> None:
    shapes = {"x": ((1, 4, 8, 8), (2, 4, 8, 8), (3, 4, 8, 8))}
    assert report_of(FREE, replace(SETTINGS, shapes=shapes)).flops == {"float": 2 * (6 * 6 * 6) * (2 * 3 * 3)}


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({}, r"x has free sizes, -1x4x8x8.*--shapes x:1x4x8x8/1x4x8x8/1x4x8x8"),
        ({"y": ((1,), (1,), (1,))}, "--shapes: got the input 'y', expected one of x"),
        ({"x": ((1, 4, 8, 8), (1, 4, 8, 8), (1, 4, 8, 9))}, "--shapes: got 1x4x8x9 for x, expected -1x4x8x8"),
        ({"x": ((1, 4), (1, 4), (1, 4))}, "--shapes: got 1x4 for x, expected -1x4x8x8"),
    ],
)
def test_ranges_that_do_not_fit_are_refused(
    shapes: dict[str, Any], message: str, report_of: Callable[..., PrecisionReport]
) -> None:
    with pytest.raises(EngineError, match=message):
        report_of(FREE, replace(SETTINGS, shapes=shapes))


def test_a_convolution_behind_dequantize_is_int8(report_of: Callable[..., PrecisionReport]) -> None:
    precision_report = report_of(
        """
g (float[1, 4, 8, 8] x) => (float[1, 6, 6, 6] y) <float scale = {0.1}, int8 zero = {0}> {
    xq = QuantizeLinear (x, scale, zero)
    xd = DequantizeLinear (xq, scale, zero)
    wq = QuantizeLinear (grouped, scale, zero)
    wd = DequantizeLinear (wq, scale, zero)
    y = Conv <group = 2> (xd, wd)
}
"""
    )
    assert precision_report.layers == {"int8": 1}
    assert precision_report.low_share == 1
