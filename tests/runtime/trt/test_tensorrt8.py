"""TensorRT 8.6 on a fake GPU: engines are built from ONNX files in each precision, and run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from amcnet.calibration import CalibrationTable, quantize
from amcnet.calibration.table import TensorRange
from amcnet.export import Exported
from amcnet.runtime.files.onnx_file import file_sha256
from amcnet.runtime.trt.card import EngineFile

OnTensorRT8 = Callable[..., subprocess.CompletedProcess[str]]
Export = Callable[[str], Exported]
BUILD = """
import sys
from amcnet.engines.cli import main
sys.exit(main())
"""
RUN = """
import sys
import numpy as np
from amcnet.runtime.backends.onnxruntime_backend import OnnxRuntimeBackend
from amcnet.runtime.backends.tensorrt_backend import EngineBackend
from amcnet.runtime.files.onnx_file import OnnxFile
from amcnet.runtime.trt.card import EngineFile

file = OnnxFile.read(sys.argv[2])
with EngineBackend(EngineFile.read(sys.argv[1])) as engine, OnnxRuntimeBackend(file, 1) as reference:
    print(engine.name)
    shape = (1, 3, 64, 128) if file.model == "pwcnet" else (1, 3, 384, 384)
    names = ("frame", "next_frame") if file.model == "pwcnet" else ("image", "flow_image")
    rng = np.random.default_rng(0)
    for _ in range(3):  # the third is a CUDA graph
        inputs = {name: rng.random(shape, np.float32) for name in names}
        wanted, got = reference.run(inputs), engine.run(inputs)
        for name in wanted:
            np.testing.assert_allclose(got[name], wanted[name], atol=1e-5)
"""


@pytest.fixture
def build(on_tensorrt8: OnTensorRT8, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`build(model, *options, **environment)`: build-engine --flavor tensorrt-8 on a GPU of SM 6.1, to x.engine."""

    def run(model: Path, *options: str, **environment: object) -> subprocess.CompletedProcess[str]:
        arguments = [model, "--flavor", "tensorrt-8", "-o", tmp_path / "x.engine", *options]
        own = {"FAKE_CUDA_SM": 61, "XDG_CACHE_HOME": tmp_path / "cache"}
        return on_tensorrt8(BUILD, *arguments, **(own | environment))

    return run


def _plan(folder: Path) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads((folder / "x.engine").read_text())
    return plan


def _int8(model: Path, target: Path) -> Path:
    graph = onnx.load(model).graph
    names = [name for node in graph.node for name in node.output] + [value.name for value in graph.input]
    one = TensorRange(low=-1.0, high=1.0, saturated=0.0, least=-1.0, greatest=1.0)
    table = CalibrationTable(
        model_sha256=file_sha256(model), frames_sha256="", frames=1, method="minmax", tensors=dict.fromkeys(names, one)
    )
    return quantize(model, target, table, target="tensorrt").path


@pytest.mark.parametrize("network", ["amcnet", "pwcnet"])
def test_fp32_engines_agree_with_onnx_runtime(
    network: str, build: Any, on_tensorrt8: OnTensorRT8, tmp_path: Path, request: Any
) -> None:
    model = request.getfixturevalue(f"{network}_onnx")
    built = build(model)
    assert built.returncode == 0, built.stderr
    assert _plan(tmp_path)["flags"] == [], "neither another precision nor TF32"
    card = EngineFile.read(tmp_path / "x.engine").card
    assert (card.flavor, card.version, card.compute_capability) == ("tensorrt-8", "8.6.1", ("6.1",))
    assert card.rebuild == f"build-engine {model.name} --flavor tensorrt-8"
    assert (tmp_path / "cache/amcnet/tensorrt-8.6.1-sm6.1.timing").read_bytes() == b"timings"
    ran = on_tensorrt8(RUN, tmp_path / "x.engine", model, FAKE_CUDA_SM=61)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "TensorRT 8.6.1 on NVIDIA Made-up GPU, fp32, a CUDA graph\n"


@pytest.mark.slow
def test_int8_weights_are_quantized_in_the_graph(build: Any, exported: Export, tmp_path: Path) -> None:
    built = build(_int8(exported("pwcnet").file.path, tmp_path / "pwcnet.int8.onnx"), "--int8")
    assert built.returncode == 0, built.stderr
    plan = _plan(tmp_path)
    assert plan["flags"] == ["INT8"]
    products = [layer["Precision"] for layer in plan["layers"] if "CONVOLUTION" in layer["LayerType"]]
    report = EngineFile.read(tmp_path / "x.engine").card.precision_report
    assert products.count("INT8") == report.layers["int8"] > 40
    assert report.share("int8") > 0.95


def test_fp16_holds_the_types_of_the_file(build: Any, exported: Export, tmp_path: Path) -> None:
    built = build(exported("pwcnet").file.path, "--fp16", "--keep-onnx", FAKE_CUDA_SM=75)
    assert built.returncode == 0, built.stderr
    plan = _plan(tmp_path)
    assert plan["flags"] == ["FP16", "OBEY_PRECISION_CONSTRAINTS"]
    kept = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "pwcnet.fp16.tensorrt8.onnx")).graph
    types = {value.name: value.type.tensor_type.elem_type for value in [*kept.value_info, *kept.output]}
    types |= {tensor.name: tensor.data_type for tensor in kept.initializer}
    names = {onnx.TensorProto.FLOAT: "Float", onnx.TensorProto.FLOAT16: "Half"}
    layers = [layer for layer in plan["layers"] if layer["LayerType"] != "CAST"]
    written = {layer["Outputs"][0]["Name"]: layer["Outputs"][0]["Format/Datatype"] for layer in layers}
    expected = {name: names[types[name]] for name in written if types[name] in names}
    assert {name: written[name] for name in expected} == expected
    assert min(list(expected.values()).count(name) for name in names.values()) > 50
    assert EngineFile.read(tmp_path / "x.engine").card.precision_report.share("half") > 0.98
    again = build(tmp_path / "pwcnet.fp16.onnx")
    assert (again.returncode, again.stderr[:40]) == (2, "error: --flavor tensorrt-8: got FP16 for")


def test_fp16_is_refused_where_it_is_slow(build: Any, pwcnet_onnx: Path, tmp_path: Path) -> None:
    built = build(pwcnet_onnx, "--fp16")
    assert built.returncode == 2
    assert built.stderr == (
        "error: --flavor tensorrt-8: got FP16 for Made-up GPU (SM 6.1), which computes FP16 at 1/64 of its FP32 rate; "
        "expected FP32 or INT8. Fix: build from the FP32 file, without --fp16, or in INT8: --int8 --clips DIR\n"
    )
    assert not (tmp_path / "x.engine").exists()


def test_the_default_flavor_is_the_version_that_is_installed(
    on_tensorrt8: OnTensorRT8, amcnet_onnx: Path, tmp_path: Path
) -> None:
    built = on_tensorrt8(BUILD, amcnet_onnx, "-o", tmp_path / "x.engine", XDG_CACHE_HOME=tmp_path)
    assert built.returncode == 0, built.stderr
    note = "note: building with TensorRT 8: it is installed and there is a GPU (change it with --flavor)"
    assert note in built.stderr


@pytest.mark.parametrize(
    ("flavor", "sm", "said"),
    [
        (
            "tensorrt-8",
            120,
            "got Made-up GPU (SM 12.0), expected a GPU of SM 5.0 to 9.0. Fix: build with --flavor tens",
        ),
        ("tensorrt", 61, "expected a GPU of SM 7.5 or later. Fix: build with TensorRT 8, which supports it: pip"),
    ],
)
def test_a_gpu_that_the_flavor_does_not_support(
    flavor: str, sm: int, said: str, on_tensorrt8: OnTensorRT8, amcnet_onnx: Path, tmp_path: Path
) -> None:
    arguments = (amcnet_onnx, "--flavor", flavor, "-o", tmp_path / "x.engine")
    built = on_tensorrt8(BUILD, *arguments, FAKE_CUDA_SM=sm)
    assert built.returncode == 2
    assert said in built.stderr


def test_parser_errors_name_the_number_of_the_node(on_tensorrt8: OnTensorRT8, tmp_path: Path) -> None:
    model = '<ir_version: 8, opset_import: ["": 17]> g (float[4] x) => (float[4] y) { a = Neg (x) y = CastLike (a, x) }'
    onnx.save(onnx.parser.parse_model(model), tmp_path / "x.onnx")
    code = """
import sys
from pathlib import Path
from amcnet.engines.tensorrt_builder import Settings, build_plan
settings = Settings(
    flavor="tensorrt-8", shapes={}, compute_capability=(), timing_cache=None, version_compatible=False,
    hardware_compatible=False, workspace_mib=None, optimization_level=None,
)
try:
    build_plan(Path(sys.argv[1]), settings, print)
except Exception as error:
    print(error)
"""
    done = on_tensorrt8(code, tmp_path / "x.onnx")
    assert "x.onnx cannot be parsed: node 1: No importer registered for op: CastLike. Fix" in done.stdout, done.stderr
