"""For SM 7.5, products of maps and constant matrices become convolutions with the same results."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from amcnet.benchmarks.latency.graph_cost import graph_cost
from amcnet.engines.precision.sm75 import replace_fp32_products
from amcnet.export.compare.fp16_emulation import emulate_fp16
from amcnet.export.functions import functions
from amcnet.runtime.files import onnx_file

TEXT = """
<ir_version: 8, opset_import: ["": 17]>
g (float[1, 3, 6, 10] x) => (float[1, 3, 4, 5] small, float[1, 3, 6, 6] square, float16[1, 3, 6, 5] fp16) <
    float[1, 3, 6, 5] narrow, float[1, 3, 10, 6] turned, float16[1, 3, 6, 10] xh> {
    narrow = MatMul (x, across)
    small = MatMul (down, narrow)
    turned = Transpose <perm = [0, 1, 3, 2]> (x)
    square = MatMul (x, turned)
    xh = Cast <to = 10> (x)
    fp16 = MatMul (xh, across_half)
}
"""


def test_products_with_constants_become_convolutions(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(TEXT)
    rng = np.random.default_rng(0)
    across, down = rng.random((10, 5), np.float32), rng.random((4, 6), np.float32)
    for name, matrix in {"across": across, "down": down, "across_half": across.astype(np.float16)}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(matrix, name))
    path = tmp_path / "m.onnx"
    onnx.helper.set_model_props(model, {onnx_file.PRECISION: "fp16"})
    onnx.save(model, path)
    before = graph_cost(path).by_precision()
    replace_fp32_products(path, path)
    rewritten = onnx.load(path)
    onnx.checker.check_model(rewritten, full_check=True)
    # The product of two computed maps stays, and so does the one in FP16.
    assert Counter(node.op_type for node in rewritten.graph.node if node.op_type in ("Conv", "MatMul")) == {
        "Conv": 2,
        "MatMul": 2,
    }
    assert graph_cost(path).by_precision() == before
    assert "across" not in {tensor.name for tensor in rewritten.graph.initializer}
    x = rng.random((1, 3, 6, 10), np.float32)
    small, square, _ = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    np.testing.assert_allclose(small, down @ (x @ across), rtol=1e-5)
    np.testing.assert_allclose(square, x @ x.swapaxes(2, 3), rtol=1e-5)


def test_attention_of_an_int8_file_becomes_fp16(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""
<ir_version: 8, opset_import: ["": 17, "amcnet": 1]>
g (float[1, 8, 4, 4] x) => (float[1, 8, 4, 4] y) <float[1, 8, 4, 4] r, float[1, 8, 4, 4] c> {
    r = Relu (x)
    [call] c = amcnet.AmcCoAttention (r, x)
    y = Neg (c)
}
""")
    model.functions.extend(f for f in functions(17) if f.name == "AmcCoAttention")
    onnx.helper.set_model_props(model, {onnx_file.PRECISION: "int8"})
    before, after = tmp_path / "before.onnx", tmp_path / "after.onnx"
    onnx.save(model, before)
    replace_fp32_products(before, after)
    inlined = onnx.inliner.inline_local_functions(onnx.load(after))
    onnx.checker.check_model(inlined, full_check=True)
    assert graph_cost(before).by_precision() == {"fp32": 2 * 16 * 16 * 8}
    assert graph_cost(after).by_precision() == {"fp16": 2 * 16 * 16 * 8}
    emulate_fp16(after, tmp_path / "rounded.onnx")
    x = np.random.default_rng(0).normal(0, 2, (1, 8, 4, 4)).astype(np.float32)
    expected, found = (
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for path in (before, tmp_path / "rounded.onnx")
    )
    assert 0 < np.abs(found - expected).max() < 5e-3
