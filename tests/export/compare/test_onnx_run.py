"""An ONNX file as a function: outputs by name, and the errors of this package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from amcnet.export.compare.onnx_run import onnx_run
from amcnet.runtime.backends.onnxruntime_session import open_session
from amcnet.runtime.errors import BackendError, ModelFileError

TEXT = """
<ir_version: 8, opset_import: ["": 17]>
g (float[N, 2] x) => (float[N, 2] y, float[N, 2] z) { y = Neg (x) z = Abs (x) }
"""


@pytest.mark.parametrize("in_order", [False, True])
def test_outputs_are_returned_by_name(in_order: bool, tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(TEXT), tmp_path / "m.onnx")
    outputs = onnx_run(tmp_path / "m.onnx", in_order=in_order)({"x": np.array([[1, -2]], np.float32)})
    assert {name: value.tolist() for name, value in outputs.items()} == {"y": [[-1, 2]], "z": [[1, 2]]}


def test_inputs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(TEXT), tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match=r"m\.onnx cannot run: got x 1x3, expected x Nx2"):
        onnx_run(tmp_path / "m.onnx")({"x": np.zeros((1, 3), np.float32)})


def test_a_file_refused_by_onnx_runtime_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08")
    with pytest.raises(BackendError, match=r"ONNX Runtime .* refuses .*m\.onnx: "):
        onnx_run(tmp_path / "m.onnx")


@pytest.mark.parametrize("runtime", [False, True])
def test_int8_does_not_overflow(runtime: bool, tmp_path: Path) -> None:
    """By default CPUs without VNNI add products of 8 bits up in 16, where two of 255 * 127 have no room."""
    text = """
    <ir_version: 8, opset_import: ["": 17]>
    g (float[1, 8, 8, 8] x) => (float[1, 8, 8, 8] y)
    <float one = {1}, float coarse = {1024}, uint8 zero = {0}, int8 none = {0}, int8[8, 8, 1, 1] w = {WEIGHTS}> {
        q = QuantizeLinear (x, one, zero)
        d = DequantizeLinear (q, one, zero)
        v = DequantizeLinear (w, one, none)
        c = Conv (d, v)
        o = QuantizeLinear (c, coarse, zero)
        y = DequantizeLinear (o, coarse, zero)
    }
    """.replace("WEIGHTS", ", ".join(["127"] * 64))
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    inputs = {"x": np.full((1, 8, 8, 8), 255, np.float32)}
    if runtime:
        found = open_session(tmp_path / "m.onnx", 1).session.run(["y"], inputs)[0]
    else:
        found = onnx_run(tmp_path / "m.onnx")(inputs)["y"]
    assert set(found.ravel().tolist()) == {1024 * round(8 * 255 * 127 / 1024)}
