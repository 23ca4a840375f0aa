"""The networks at full size with TensorRT-RTX: what its parser sees is what stands in the file."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

import onnx
import pytest

from amcnet import EngineError
from amcnet.calibration import CalibrationTable, quantise
from amcnet.calibration.table import TensorRange
from amcnet.engines.build import BuildOptions, build_engine
from amcnet.engines.card import Card, EngineFile
from amcnet.engines.half_share import product_flops
from amcnet.engines.lint import OPSETS, lint
from amcnet.engines.machine import Machine
from amcnet.export.exporter import Seed, export_amcnet, export_pipeline, export_pwcnet
from amcnet.export.graph_shapes import Skeleton
from amcnet.export.onnx_file import file_sha256
from amcnet.models import AMCNetConfig
from amcnet.runtime.segmenter import DEFAULT_AMCNET

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        Machine.here().tensorrt.get("tensorrt-rtx") is None,
        reason="TensorRT-RTX is not installed: pip install 'amcnet[rtx]'",
    ),
]
TURING, LATER = ("7.5",), ("8.6", "8.9", "12.0")
AMCNET = {"AmcCoAttention": 1, "AmcCoAttentionGate": 5}
PWCNET = {"AmcCorrelation": 5, "AmcWarp": 4}
FUNCTIONS = {"amcnet": AMCNET, "light": AMCNET, "pwcnet": PWCNET, "pipeline": AMCNET | PWCNET}
KINDS = {
    "Conv": "convolution",
    "ConvTranspose": "deconvolution",
    "MatMul": "matrix_multiply",
    "GridSample": "grid_sample",
    "Softmax": "softmax",
    "QuantizeLinear": "quantize",
    "DequantizeLinear": "dequantize",
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`exported("amcnet")`: AMC-Net with ResNet-101 at 384x384; pwcnet at 896x512; light, the default; pipeline."""
    folder = tmp_path_factory.mktemp("full")
    seed = Seed(number=1)
    make = {
        "amcnet": lambda: export_amcnet(seed, folder),
        "pwcnet": lambda: export_pwcnet(seed, folder),
        # Both networks are here in their full size already: their glue is what counts.
        "pipeline": lambda: export_pipeline(
            seed, seed, folder, video_size=(416, 240), config=AMCNetConfig(backbone="resnet18")
        ),
        "light": lambda: shutil.copyfile(DEFAULT_AMCNET, folder / "light.onnx"),
    }

    def export(network: str) -> Path:
        path = folder / f"{network}.onnx"
        if not path.exists():
            make[network]()
        return path

    return export


def _built(model: Path, folder: Path, targets: tuple[str, ...], *, fp16: bool = False, int8: bool = False) -> Card:
    """The card of an engine, which is removed: they have up to 640 MB."""
    options = BuildOptions(
        model=model,
        output=folder / "x.engine",
        fp16=fp16,
        int8=int8,
        keep_onnx=True,
        flavour="tensorrt-rtx",
        compute_capability=targets,
    )
    engine = build_engine(options, lambda note: None)
    assert engine.path.stat().st_size == engine.card.engine_bytes > model.stat().st_size / 5
    engine.path.unlink()
    return engine.card


def _agrees(card: Card, network: str, full: Path, model: Path, precisions: Collection[str]) -> None:
    """What was parsed is what stands in the file `model`, counted there by other means, and nothing is a plugin's.

    `full` is the FP32 file, whose operations are the same.
    """
    assert lint(model) == []
    skeleton = Skeleton.read(model)
    assert skeleton.opset in OPSETS
    operators = Counter(node.op_type for node in skeleton.nodes)
    for operator, kind in KINDS.items():
        assert card.receipt.kinds.get(kind, 0) == operators[operator], operator
    assert card.receipt.functions == FUNCTIONS[network]
    assert operators["GridSample"] == FUNCTIONS[network].get("AmcWarp", 0)
    assert not [kind for kind in card.receipt.kinds if "plugin" in kind]
    assert card.receipt.layers.keys() == set(precisions)
    assert sum(card.receipt.flops.values()) == product_flops(full).total()


@pytest.mark.parametrize("network", ["amcnet", "pwcnet", "light", "pipeline"])
def test_fp32(network: str, exported: Callable[[str], Path], tmp_path: Path) -> None:
    model = exported(network)
    _agrees(_built(model, tmp_path, LATER), network, model, model, {"float"})


@pytest.mark.parametrize("network", ["pwcnet", "light", "pipeline"])
def test_fp16(network: str, exported: Callable[[str], Path], tmp_path: Path) -> None:
    model = exported(network)
    card = _built(model, tmp_path, LATER, fp16=True)
    half = tmp_path / f"{network}.fp16.onnx"
    _agrees(card, network, model, half, {"half", "float"})
    assert card.receipt.flops["half"] == product_flops(half)["FLOAT16"]
    assert card.receipt.share("half") > {"pwcnet": 0.95, "light": 0.99, "pipeline": 0.95}[network]


def test_the_papers_network_in_fp16_in_a_minute(exported: Callable[[str], Path], tmp_path: Path) -> None:
    model = exported("amcnet")
    command = [sys.executable, "-c", "import sys; from amcnet.engines.cli import main; sys.exit(main())"]
    options = ["--fp16", "--keep-onnx", "--flavour", "tensorrt-rtx", "-o", str(tmp_path / "x.engine")]
    start = time.perf_counter()
    result = subprocess.run([*command, model, *options], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    assert result.returncode == 0, result.stderr
    engine = EngineFile.read(tmp_path / "x.engine")
    engine.path.unlink()
    assert seconds < 60
    assert engine.card.onnx_sha256 == file_sha256(model)
    _agrees(engine.card, "amcnet", model, tmp_path / "amcnet.fp16.onnx", {"half", "float"})
    assert engine.card.receipt.share("half") > 0.99


@pytest.mark.parametrize("network", ["amcnet", "pwcnet", "light", "pipeline"])
def test_turing_in_fp16(network: str, exported: Callable[[str], Path], tmp_path: Path) -> None:
    model = exported(network)
    card = _built(model, tmp_path, TURING, fp16=True)
    _agrees(card, network, model, tmp_path / f"{network}.fp16.onnx", card.receipt.layers)
    assert card.receipt.share("half") > (0.97 if network == "pipeline" else 0.99)


@pytest.mark.parametrize(
    ("network", "where"),
    [
        ("amcnet", "co_attention/AmcCoAttention"),
        ("pwcnet", "estimators.0.correlation/AmcCorrelation"),
        ("light", "co_attention/AmcCoAttention"),
        ("pipeline", "correlation/AmcCorrelation"),
    ],
)
def test_turing_refuses_products_in_float(
    network: str, where: str, exported: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(
        EngineError, match=rf"no matrices in float on SM 7\.5, and .* does so in .*{where}.*with --fp16, leave 7\.5"
    ):
        _built(exported(network), tmp_path, TURING)


@pytest.mark.parametrize(("network", "share"), [("amcnet", 0.99), ("pwcnet", 0.95), ("light", 0.95)])
def test_int8(network: str, share: float, exported: Callable[[str], Path], tmp_path: Path) -> None:
    model = exported(network)
    quantised = tmp_path / f"{network}.int8.onnx"
    quantise(model, quantised, _made_up_table(model), target="tensorrt")
    card = _built(quantised, tmp_path, LATER, int8=True)
    _agrees(card, network, model, quantised, {"int8", "float"})
    assert card.precision == "int8"
    assert card.receipt.share("int8") > share


@pytest.mark.parametrize("network", ["pwcnet", "light"])
def test_turing_in_int8(network: str, exported: Callable[[str], Path], tmp_path: Path) -> None:
    model = exported(network)
    quantised = tmp_path / f"{network}.int8.onnx"
    quantise(model, quantised, _made_up_table(model), target="tensorrt")
    turing = _built(quantised, tmp_path, TURING, int8=True)
    _agrees(turing, network, model, tmp_path / f"{network}.int8.sm75.onnx", {"int8", "half", "float"})
    assert turing.receipt.share("int8") > 0.95


def _made_up_table(model: Path) -> CalibrationTable:
    """Ranges of nothing: which layers are quantised does not depend on them."""
    graph = onnx.load(model).graph
    names = [name for node in graph.node for name in node.output] + [value.name for value in graph.input]
    one = TensorRange(low=-1.0, high=1.0, saturated=0.0, least=-1.0, greatest=1.0)
    return CalibrationTable(
        model_sha256=file_sha256(model), frames_sha256="", frames=1, method="minmax", tensors=dict.fromkeys(names, one)
    )
