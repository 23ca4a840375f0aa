"""Exported files: metadata, contents, and agreement with PyTorch."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from exports import PIPELINE_SIZE, SMALL, inputs_and_outputs
from onnx import numpy_helper

from amcnet.export import (
    Exported,
    ExportOptions,
    Seed,
    export_amcnet,
    export_pwcnet,
    onnx_model,
    verified_export,
)
from amcnet.models import AMCNet, AMCNetConfig, PWCNet, load_pwcnet, seed_weights
from amcnet.runtime.errors import ModelFileError
from amcnet.runtime.files.onnx_file import OnnxFile, file_sha256
from amcnet.runtime.preprocessing.spec import AMCNET, Preprocessing


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("onnx")


@pytest.fixture(scope="module")
def amcnet(exported: Callable[[str], Exported]) -> Exported:
    return exported("amcnet")


@pytest.fixture(scope="module")
def pwcnet(folder: Path) -> Exported:
    torch.save(seed_weights(PWCNet(), 1).state_dict(), folder / "pwc.pth")
    return export_pwcnet(folder / "pwc.pth", folder, ExportOptions(opset=18, dynamic_batch=True), size=(128, 64))


@pytest.fixture(scope="module")
def pipeline(exported: Callable[[str], Exported]) -> Exported:
    return exported("pipeline")


def test_exports_run_one_at_a_time_and_restore_logging_and_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two exports at once would each restore the settings of the other."""
    log, seen = logging.getLogger("torch.onnx"), []

    def export(*arguments: object, **options: object) -> None:
        seen.append((onnx_model._ONE_EXPORT.locked(), log.level))
        raise KeyError

    monkeypatch.setattr(torch.onnx, "export", export)
    level, filters = log.level, list(warnings.filters)
    with pytest.raises(KeyError):
        onnx_model.to_onnx(torch.nn.Identity(), {}, [], opset=17, dynamic_batch=False, metadata={})
    assert seen == [(True, logging.ERROR)]
    assert (onnx_model._ONE_EXPORT.locked(), log.level, list(warnings.filters)) == (False, level, filters)


def test_amcnet_has_the_documented_inputs_and_outputs(amcnet: Exported) -> None:
    model = onnx.load(amcnet.file.path)
    onnx.checker.check_model(model, full_check=True)
    attention = {f"attention{i}": ("FLOAT", 1, 1, 192 >> i, 192 >> i) for i in range(5)}
    assert inputs_and_outputs(model) == {
        "image": ("FLOAT", 1, 3, 384, 384),
        "flow_image": ("FLOAT", 1, 3, 384, 384),
        "mask": ("FLOAT", 1, 1, 384, 384),
        **attention,
        "gate_scores": ("FLOAT", 1, 5, 2),
    }
    assert {o.domain: o.version for o in model.opset_import} == {"": 17, "amcnet": 1}
    assert {f.name for f in model.functions} == {"AmcCoAttention", "AmcCoAttentionGate"}
    counts = {op: sum(n.op_type == op for n in model.graph.node) for op in ("AmcCoAttention", "AmcCoAttentionGate")}
    assert counts == {"AmcCoAttention": 1, "AmcCoAttentionGate": 5}
    assert not {"BatchNormalization", "PRelu"} & {n.op_type for n in model.graph.node}, "folded"
    assert amcnet.max_difference <= 1e-4


def test_pwcnet_has_the_documented_inputs_and_outputs(pwcnet: Exported) -> None:
    model = onnx.load(pwcnet.file.path)
    onnx.checker.check_model(model, full_check=True)
    assert inputs_and_outputs(model) == {
        "frame": ("FLOAT", "batch", 3, 64, 128),
        "next_frame": ("FLOAT", "batch", 3, 64, 128),
        "flow": ("FLOAT", "batch", 2, 16, 32),
    }
    assert {o.domain: o.version for o in model.opset_import} == {"": 18, "amcnet": 1}
    assert sum(n.op_type == "AmcCorrelation" for n in model.graph.node) == 5
    assert sum(n.op_type == "AmcWarp" for n in model.graph.node) == 4
    assert pwcnet.max_difference <= 1e-3


def test_pipeline_has_the_documented_inputs_and_outputs(pipeline: Exported) -> None:
    model = onnx.load(pipeline.file.path)
    width, height = PIPELINE_SIZE
    onnx.checker.check_model(model, full_check=True)
    assert inputs_and_outputs(model) == {
        "frame": ("UINT8", 1, height, width, 3),
        "next_frame": ("UINT8", 1, height, width, 3),
        "mask": ("FLOAT", 1, height, width),
    }
    assert len(model.functions) == 4
    assert not {"Resize"} & {n.op_type for n in model.graph.node if "antialias" in [a.name for a in n.attribute]}


def test_metadata_describes_the_file(amcnet: Exported, pwcnet: Exported, folder: Path) -> None:
    metadata = OnnxFile.read(amcnet.file.path, "amcnet").metadata
    assert metadata == {p.key: p.value for p in onnx.load(amcnet.file.path).metadata_props}, "both readers agree"
    assert metadata["amcnet.model"] == "amcnet"
    assert metadata["amcnet.checkpoint_sha256"] == "untrained, seed 1"
    assert amcnet.file.untrained
    assert metadata["amcnet.precision"] == "fp32"
    assert AMCNetConfig.from_json(metadata["amcnet.config"]) == AMCNetConfig(backbone="resnet18")
    assert Preprocessing.from_json(metadata["amcnet.preprocessing"]) == AMCNET
    assert pwcnet.file.metadata["amcnet.checkpoint_sha256"] == file_sha256(folder / "pwc.pth")
    assert not pwcnet.file.untrained
    assert Preprocessing.from_json(pwcnet.file.metadata["amcnet.preprocessing"]).size == (128, 64)


def test_the_file_holds_no_paths_of_the_machine(amcnet: Exported) -> None:
    model = onnx.load(amcnet.file.path)
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert str(Path(onnx_model.__file__).parent).encode() not in amcnet.file.path.read_bytes()


def test_names_come_from_the_modules(amcnet: Exported) -> None:
    names = [node.name for node in onnx.load(amcnet.file.path).graph.node]
    assert len(names) == len(set(names))
    assert {"image_stages.0.0/Conv", "gates.4.blocks.1.0/Conv", "co_attention/AmcCoAttention", "head/Conv"} <= set(
        names
    )


def test_a_dynamic_batch_computes_each_item(pwcnet: Exported, folder: Path) -> None:
    session = onnxruntime.InferenceSession(pwcnet.file.path, providers=["CPUExecutionProvider"])
    frames = np.random.default_rng(0).random((2, 3, 3, 64, 128), dtype=np.float32)
    together = session.run(None, {"frame": frames[0], "next_frame": frames[1]})[0]
    with torch.inference_mode():
        network = load_pwcnet(folder / "pwc.pth")
        expected = network(*map(torch.from_numpy, frames)).numpy()
    np.testing.assert_allclose(together, expected, atol=1e-3)


def test_the_graph_holds_no_fixed_batch_size(amcnet: Exported) -> None:
    """A free first dimension is sufficient to run another batch size."""
    model = onnx.load(amcnet.file.path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    image, flow_image = np.random.default_rng(0).standard_normal((2, 2, 3, 384, 384)).astype(np.float32)
    both = session.run(["mask"], {"image": image, "flow_image": flow_image})[0]
    second = session.run(["mask"], {"image": image[1:], "flow_image": flow_image[1:]})[0]
    np.testing.assert_allclose(both[1:], second, atol=1e-5)


def test_polygraphy_reads_the_files(amcnet: Exported, pwcnet: Exported) -> None:
    polygraphy = Path(sys.executable).parent / "polygraphy"
    for path in (amcnet.file.path, pwcnet.file.path):
        command = [sys.executable, str(polygraphy), "inspect", "model", str(path)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert "Other Opsets: {'amcnet': 1}" in result.stdout


def test_a_file_that_differs_from_pytorch_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save_spoilt(model: object, path: Path) -> None:
        real_save(model, path)
        spoilt = onnx.load(path)
        weight = next(i for i in spoilt.graph.initializer if i.name.endswith("context.6.weight"))
        weight.CopyFrom(numpy_helper.from_array(1.5 * numpy_helper.to_array(weight), weight.name))
        onnx.save(spoilt, path)

    real_save: Callable[[object, Path], None] = verified_export.save
    monkeypatch.setattr(verified_export, "save", save_spoilt)
    with pytest.raises(
        ModelFileError, match=r"does not match PyTorch: got max .*, expected at most .*; no file was written"
    ):
        export_pwcnet(Seed(number=1), tmp_path, size=(64, 64))
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_nan_outputs_is_deleted(tmp_path: Path) -> None:
    network = seed_weights(AMCNet(SMALL), 1)
    network.head.bias.data.fill_(float("nan"))
    torch.save(network.state_dict(), tmp_path / "nan.pth")
    with pytest.raises(ModelFileError, match="no file was written"):
        export_amcnet(tmp_path / "nan.pth", tmp_path / "out", size=(64, 64))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_size_sets_shapes_and_metadata(tmp_path: Path) -> None:
    light = AMCNetConfig(backbone="mobilenet_v2")
    small = export_amcnet(Seed(number=1), tmp_path, config=light, size=(96, 64), with_attention=True)
    assert Preprocessing.from_json(small.file.metadata["amcnet.preprocessing"]).size == (96, 64)
    shapes = inputs_and_outputs(onnx.load(small.file.path))
    assert shapes["image"] == ("FLOAT", 1, 3, 64, 96)
    assert shapes["mask"] == ("FLOAT", 1, 1, 64, 96)
    assert shapes["attention4"] == ("FLOAT", 1, 1, 2, 3)
    with pytest.raises(ValueError, match="multiples of 32"):
        export_amcnet(Seed(number=1), tmp_path, config=light, size=(100, 64))


@pytest.mark.parametrize("size", [(100, 64), (0, 64)])
def test_pwcnet_requires_multiples_of_64(size: tuple[int, int], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiples of 64"):
        export_pwcnet(Seed(number=1), tmp_path, size=size)


def test_weights_beyond_fp16_stay_fp32() -> None:
    weights = {name: np.full(256, value, np.float32) for name, value in {"small": 65504.0, "large": -65520.0}.items()}
    initializers = [ir.tensor(value, name=name) for name, value in weights.items()]
    values = [
        ir.Value(name=tensor.name, const_value=tensor, type=ir.TensorType(tensor.dtype)) for tensor in initializers
    ]
    node = ir.node("Add", values)
    made = ir.Graph([], node.outputs, nodes=[node], initializers=values, opset_imports={"": 17})
    onnx_model.store_weights_fp16(made)
    assert {name: str(value.const_value.dtype) for name, value in made.initializers.items() if value.const_value} == {
        "small.fp16": "FLOAT16",
        "large": "FLOAT",
    }


@pytest.mark.slow
def test_fp16_weights_halve_the_file_and_change_the_mask_little(
    exported: Callable[[str], Exported], tmp_path: Path
) -> None:
    options = ExportOptions(fp16_weights=True)
    fp16 = export_amcnet(Seed(number=1), tmp_path, options, config=SMALL, size=(64, 64))
    onnx.checker.check_model(onnx.load(fp16.file.path), full_check=True)
    assert fp16.file.path.stat().st_size < 0.52 * exported("amcnet-64").file.path.stat().st_size
    assert 0 < fp16.max_difference <= 1e-2
