"""Networks built with TensorRT-RTX, small and (slow) at full size: the parsed network equals the file."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import onnx
import pytest

from amcnet.benchmarks.latency.graph_cost import graph_cost
from amcnet.calibration import CalibrationTable, quantize
from amcnet.calibration.table import TensorRange
from amcnet.engines.build import build_engine
from amcnet.engines.build_options import BuildOptions
from amcnet.engines.precision.onnx_lint import OPSETS, lint
from amcnet.export import Exported
from amcnet.export.compare.graph_shapes import GraphShapes
from amcnet.runtime.errors import EngineError
from amcnet.runtime.files.onnx_file import file_sha256
from amcnet.runtime.segmenter import DEFAULT_AMCNET
from amcnet.runtime.trt.card import Card, EngineFile
from amcnet.runtime.trt.machine import Machine

pytestmark = pytest.mark.skipif(
    Machine.here().tensorrt.get("tensorrt-rtx") is None,
    reason="TensorRT-RTX is not installed: pip install 'amcnet[rtx]'",
)
SM75, LATER = ("7.5",), ("8.6", "8.9", "12.0")
AMCNET = {"AmcCoAttention": 1, "AmcCoAttentionGate": 5}
PWCNET = {"AmcCorrelation": 5, "AmcWarp": 4}
RAFT = {"AmcCorrelationVolumes": 1}
SMALL = ("amcnet-64", "pwcnet")
FUNCTIONS = {
    "amcnet-64": AMCNET,
    "fbms": AMCNET,
    "pwcnet": PWCNET,
    "full-amcnet": AMCNET,
    "full-pwcnet": PWCNET,
    "full-pipeline": AMCNET | PWCNET,
    "raft": RAFT | {"AmcCorrelationLookup": 2},
    "full-raft": RAFT | {"AmcCorrelationLookup": 6},
    "full-raft-large": RAFT | {"AmcCorrelationLookup": 3},
    "light": AMCNET,
}
KINDS = {
    "Conv": "convolution",
    "ConvTranspose": "deconvolution",
    "MatMul": "matrix_multiply",
    "GridSample": "grid_sample",
    "Softmax": "softmax",
    "QuantizeLinear": "quantize",
    "DequantizeLinear": "dequantize",
}


def _full(*networks: str) -> list[Any]:
    return [pytest.param(network, marks=pytest.mark.slow) for network in networks]


@pytest.fixture(scope="module")
def network_file(exported: Callable[[str], Exported]) -> Callable[[str], Path]:
    """`network_file("pwcnet")`: the path of that network; `light` is the bundled one."""
    return lambda network: DEFAULT_AMCNET if network == "light" else exported(network).file.path


def _built(
    model: Path,
    folder: Path,
    targets: tuple[str, ...],
    *,
    fp16: bool = False,
    int8: bool = False,
    on_note: Callable[[str], None] = lambda note: None,
) -> Card:
    """The card of an engine, which is removed: they have up to 640 MB."""
    options = BuildOptions(
        model=model,
        output=folder / "x.engine",
        fp16=fp16,
        int8=int8,
        keep_onnx=True,
        flavor="tensorrt-rtx",
        compute_capability=targets,
    )
    engine = build_engine(options, on_note)
    assert engine.path.stat().st_size == engine.card.engine_bytes > model.stat().st_size / 5
    assert sorted(path.name for path in folder.iterdir() if path.suffix != ".onnx") == ["x.engine", "x.engine.json"]
    engine.path.unlink()
    return engine.card


def _agrees(card: Card, network: str, fp32: Path, model: Path, precisions: Collection[str]) -> None:
    """The parsed network equals the file `model`, counted independently, and has no plugin layers.

    `fp32` is the FP32 file, whose operations are the same.
    """
    assert lint(model) == []
    graph = GraphShapes.read(model)
    assert graph.opset in OPSETS
    operators = Counter(node.op_type for node in graph.nodes)
    for operator, kind in KINDS.items():
        assert card.precision_report.kinds.get(kind, 0) == operators[operator], operator
    assert card.precision_report.functions == FUNCTIONS[network]
    assert operators["GridSample"] == FUNCTIONS[network].get("AmcWarp", 0)
    assert not [kind for kind in card.precision_report.kinds if "plugin" in kind]
    assert card.precision_report.layers.keys() == set(precisions)
    assert sum(card.precision_report.flops.values()) == graph_cost(fp32).flops


RAFTS = ("full-raft", "full-raft-large")


@pytest.mark.parametrize(
    "network", [*SMALL, *_full("fbms", "full-amcnet", "full-pwcnet", "light", "full-pipeline", *RAFTS)]
)
def test_fp32(network: str, network_file: Callable[[str], Path], tmp_path: Path) -> None:
    model = network_file(network)
    card = _built(model, tmp_path, LATER)
    _agrees(card, network, model, model, {"float"})
    assert card.precision == "fp32"
    assert card.precision_report.share("float") == 1


SHARES = {"amcnet-64": 0.98, "fbms": 0.98, "pwcnet": 0.98, "full-pwcnet": 0.95, "light": 0.99, "full-pipeline": 0.95}
SHARES |= {"raft": 0.98, "full-raft": 0.95, "full-raft-large": 0.95}


@pytest.mark.parametrize("network", [*SMALL, "raft", *_full("fbms", "full-pwcnet", "light", "full-pipeline", *RAFTS)])
def test_fp16(network: str, network_file: Callable[[str], Path], tmp_path: Path) -> None:
    model = network_file(network)
    card = _built(model, tmp_path, LATER, fp16=True)
    fp16 = tmp_path / f"{model.stem}.fp16.onnx"
    _agrees(card, network, model, fp16, {"half", "float"})
    assert card.precision == "fp16"
    assert card.precision_report.flops["half"] == 2 * graph_cost(fp16).by_precision()["fp16"]
    assert card.precision_report.share("half") > SHARES[network]


@pytest.mark.slow
def test_the_network_of_the_paper_is_built_in_fp16(network_file: Callable[[str], Path], tmp_path: Path) -> None:
    model = network_file("full-amcnet")
    command = [sys.executable, "-c", "import sys; from amcnet.engines.cli import main; sys.exit(main())"]
    options = ["--fp16", "--keep-onnx", "--flavor", "tensorrt-rtx", "-o", str(tmp_path / "x.engine")]
    result = subprocess.run([*command, model, *options], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    engine = EngineFile.read(tmp_path / "x.engine")
    engine.path.unlink()
    assert engine.card.onnx_sha256 == file_sha256(model)
    _agrees(engine.card, "full-amcnet", model, tmp_path / "amcnet.fp16.onnx", {"half", "float"})
    assert engine.card.precision_report.share("half") > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("network", [*SMALL, *_full("full-amcnet", "full-pwcnet", "light", "full-pipeline", *RAFTS)])
def test_fp16_networks_are_built_for_sm75(network: str, network_file: Callable[[str], Path], tmp_path: Path) -> None:
    model, notes = network_file(network), list[str]()
    card = _built(model, tmp_path, SM75, fp16=True, on_note=notes.append)
    assert card.compute_capability == SM75
    _agrees(card, network, model, tmp_path / f"{model.stem}.fp16.onnx", card.precision_report.layers)
    assert card.precision_report.share("half") > (0.97 if network == "full-pipeline" else 0.99)
    if network in SMALL:
        assert not [
            place for place in card.precision_report.float_layers if place.endswith(("Attention", "Correlation"))
        ]
        (note,) = notes
        assert note == (
            "TensorRT-RTX has no FP32 matrix products for SM 7.5: attention and correlation are converted to FP16"
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "where"),
    [
        ("full-amcnet", "co_attention/AmcCoAttention"),
        ("full-pwcnet", "estimators.0.correlation/AmcCorrelation"),
        ("light", "co_attention/AmcCoAttention"),
        ("full-pipeline", "correlation/AmcCorrelation"),
        ("full-raft", "raft.volumes/AmcCorrelationVolumes"),
    ],
)
def test_sm75_refuses_fp32_products(
    network: str, where: str, network_file: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(
        EngineError,
        match=rf"no FP32 matrix products for SM 7\.5: got .* with products in .*{where}.*with --fp16, leave 7\.5",
    ):
        _built(network_file(network), tmp_path, SM75)


@pytest.mark.slow
@pytest.mark.parametrize("network", [*SMALL, *_full("fbms", "full-amcnet", "full-pwcnet", "light")])
def test_int8(network: str, network_file: Callable[[str], Path], tmp_path: Path) -> None:
    model = network_file(network)
    quantized = tmp_path / f"{network}.int8.onnx"
    quantize(model, quantized, _made_up_table(model), target="tensorrt")
    card = _built(quantized, tmp_path, LATER, int8=True)
    _agrees(card, network, model, quantized, {"int8", "float"})
    assert card.precision == "int8"
    assert card.precision_report.share("int8") > (0.99 if network == "full-amcnet" else 0.95)


@pytest.mark.parametrize("network", ["pwcnet", *_full("full-pwcnet", "light")])
def test_int8_networks_are_built_for_sm75(network: str, network_file: Callable[[str], Path], tmp_path: Path) -> None:
    model = network_file(network)
    quantized = tmp_path / f"{network}.int8.onnx"
    quantize(model, quantized, _made_up_table(model), target="tensorrt")
    card = _built(quantized, tmp_path, SM75, int8=True)
    _agrees(card, network, model, tmp_path / f"{network}.int8.sm75.onnx", {"int8", "half", "float"})
    assert card.precision_report.share("int8") > 0.95


def _made_up_table(model: Path) -> CalibrationTable:
    """Ranges of nothing: which layers are quantized does not depend on them."""
    graph = onnx.load(model).graph
    names = [name for node in graph.node for name in node.output] + [value.name for value in graph.input]
    one = TensorRange(low=-1.0, high=1.0, saturated=0.0, least=-1.0, greatest=1.0)
    return CalibrationTable(
        model_sha256=file_sha256(model), frames_sha256="", frames=1, method="minmax", tensors=dict.fromkeys(names, one)
    )
