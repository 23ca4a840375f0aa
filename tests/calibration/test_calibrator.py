"""INT8 files: quantized nodes for each target, agreement with FP32, and the calibration table."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from amcnet.calibration import Calibrated, CalibrationTable, calibrate_on_batches, calibrator
from amcnet.engines.precision.onnx_lint import lint
from amcnet.export import Exported
from amcnet.export.compare.fidelity import flow_fidelity, mask_fidelity
from amcnet.export.compare.onnx_run import onnx_run
from amcnet.runtime.errors import InputError, ModelFileError
from amcnet.runtime.files.onnx_file import OnnxFile

IMAGES = ("image", "flow_image")
FRAMES = ("frame", "next_frame")


def test_public_names_are_no_modules() -> None:
    """In any order of imports, with all modules of the package imported before."""
    code = """
import importlib, pkgutil, types
import amcnet.calibration as package
if {modules}:
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"amcnet.calibration.{{module.name}}")
assert not [name for name in package.__all__ if isinstance(getattr(package, name), types.ModuleType)]
"""
    for modules in (False, True):
        done = subprocess.run([sys.executable, "-c", code.format(modules=modules)], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def _int8_nodes(path: Path) -> set[str]:
    """The nodes whose weights or first input come from a DequantizeLinear."""
    graph = onnx.load(path).graph
    dequantized = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    return {node.name for node in graph.node if node.op_type == "Conv" and set(node.input[:2]) <= dequantized}


def _for_chain(seed: int = 0) -> list[dict[str, NDArray[Any]]]:
    """Noise as inputs of `chain_onnx`."""
    rng = np.random.default_rng(seed)
    shapes = {"0": (1, 4, 16, 16), "flow_image": (1, 1, 16, 16)}
    return [{name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()} for _ in range(4)]


@pytest.fixture(scope="module")
def for_tensorrt(
    light_onnx: Path,
    make_batches: Callable[..., list],  # type: ignore[type-arg]
    tmp_path_factory: pytest.TempPathFactory,
) -> Calibrated:
    output = tmp_path_factory.mktemp("tensorrt") / "light.int8.onnx"
    return calibrate_on_batches(light_onnx, output, make_batches(IMAGES), target="tensorrt")


@pytest.fixture(scope="module")
def for_cpus(
    light_onnx: Path,
    make_batches: Callable[..., list],  # type: ignore[type-arg]
    tmp_path_factory: pytest.TempPathFactory,
) -> Calibrated:
    output = tmp_path_factory.mktemp("cpus") / "light.int8.onnx"
    return calibrate_on_batches(light_onnx, output, make_batches(IMAGES), target="cpu")


def test_files_for_tensorrt_are_int8_with_functions(
    light_onnx: Path, make_batches: Callable[..., list], for_tensorrt: Calibrated
) -> None:  # type: ignore[type-arg]
    done, output = for_tensorrt, for_tensorrt.quantized.path
    assert lint(output) == []
    model = onnx.load(output)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    activations = 0
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            assert weights[node.input[2]].data_type == TensorProto.INT8
            activations += 1
            assert not any(user.op_type == "Relu" for user in model.graph.node if node.output[0] in user.input)
    assert activations > 50
    assert _int8_nodes(output) == set(done.quantized.int8_nodes)
    assert {"AmcCoAttention", "AmcCoAttentionGate"} == {function.name for function in model.functions}
    assert OnnxFile.read(output).precision == "int8"
    reference, found = onnx_run(light_onnx), onnx_run(output)
    input_batches = make_batches(IMAGES, seed=1)
    difference = [np.abs(found(inputs)["mask"] - reference(inputs)["mask"]).mean() for inputs in input_batches]
    assert np.mean(difference) < 0.05


def test_files_for_cpus_are_uint8_without_functions(
    light_onnx: Path, make_batches: Callable[..., list], for_cpus: Calibrated
) -> None:  # type: ignore[type-arg]
    done, output = for_cpus, for_cpus.quantized.path
    model = onnx.load(output)
    assert not model.functions
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    quantized = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert {weights[node.input[2]].data_type for node in quantized} == {TensorProto.UINT8}
    first = next(w for n, w in weights.items() if n.endswith("image_stages.0.0.weight_quantized"))
    assert first.data_type == TensorProto.INT8
    assert _int8_nodes(output) == {
        name for name in done.quantized.int8_nodes if name.endswith("Conv") or "/Conv_" in name
    }
    assert any("LeakyRelu" in name for name in done.quantized.int8_nodes)
    difference = [
        np.abs(onnx_run(output)(inputs)["mask"] - onnx_run(light_onnx)(inputs)["mask"]).mean()
        for inputs in make_batches(IMAGES)
    ]
    assert np.mean(difference) < 0.05


@pytest.mark.slow
def test_efficientnet_encoders(
    exported: Callable[[str], Exported],
    make_batches: Callable[..., list],  # type: ignore[type-arg]
    tmp_path: Path,
) -> None:
    path, output = exported("efficient").file.path, tmp_path / "efficient.int8.onnx"
    done = calibrate_on_batches(path, output, make_batches(IMAGES), target="cpu")
    model = onnx.load(path)
    wide = [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and [5, 5] in (list(a.ints) for a in node.attribute if a.name == "kernel_shape")
    ]
    assert len(wide) == 2 * 9  # both encoders
    assert set(wide) <= set(done.quantized.int8_nodes)
    difference = [
        np.abs(onnx_run(output)(inputs)["mask"] - onnx_run(path)(inputs)["mask"]).mean()
        for inputs in make_batches(IMAGES)
    ]
    assert np.mean(difference) < 0.05


def test_what_is_never_quantized(for_tensorrt: Calibrated, for_cpus: Calibrated) -> None:
    for done in (for_tensorrt, for_cpus):
        kept = {name for names in done.quantized.float_nodes.values() for name in names}
        assert {"head/Conv", "gates.0.score/Conv", "corrections.0.spatial.conv/Conv"} <= kept
        assert "transfers.2.channel.fc1/Conv" in done.quantized.float_nodes["pooled"]
        assert not kept & set(done.quantized.int8_nodes)


@pytest.mark.slow
def test_a_flow_network_is_quantized(pwcnet_file: Path, make_batches: Callable[..., list], tmp_path: Path) -> None:  # type: ignore[type-arg]
    output, input_batches = tmp_path / "pwc.int8.onnx", make_batches(FRAMES, width=128)
    done = calibrate_on_batches(pwcnet_file, output, input_batches, target="tensorrt")
    assert lint(output) == []
    heads = done.quantized.float_nodes["two channels"]
    assert len(heads) >= 5
    assert len(done.quantized.int8_nodes) > 30
    measured = flow_fidelity(onnx_run(pwcnet_file), onnx_run(output), input_batches)
    magnitude = np.mean([np.abs(onnx_run(pwcnet_file)(inputs)["flow"]).mean() for inputs in input_batches])
    assert measured.mean_px < max(0.5, 0.3 * magnitude)
    cpu = calibrate_on_batches(pwcnet_file, tmp_path / "pwc.cpu.onnx", input_batches, target="cpu")
    assert all("Conv" in name for name in cpu.quantized.int8_nodes)  # the correlation's products stay FP32


@pytest.mark.parametrize("kept", [[], ["3"], ["1"]])
def test_shared_weights_are_copied(chain_onnx: Path, kept: list[str], tmp_path: Path) -> None:
    """FP32 operators keep their weights, and CPUs without VNNI run the file."""
    source, output = tmp_path / "shared.onnx", tmp_path / "shared.int8.onnx"
    model = onnx.load(chain_onnx)
    first, second = (node for node in model.graph.node if node.name in ("1", "3"))
    second.input[1] = first.input[1]
    onnx.save(model, str(source))
    input_batches = _for_chain()
    calibrate_on_batches(source, output, input_batches, target="cpu", keep_float=kept)
    assert _int8_nodes(output) >= {"1", "3"} - set(kept)
    assert not _int8_nodes(output) & set(kept)
    quantized = onnx.load(output).graph
    weights = {node.name: node.input[1] for node in quantized.node if node.op_type == "Conv"}
    assert len(set(weights.values())) == len(weights)
    stored = {tensor.name: tensor for tensor in quantized.initializer}
    original = next(tensor for tensor in model.graph.initializer if tensor.name == first.input[1])
    for name in kept:
        np.testing.assert_array_equal(numpy_helper.to_array(stored[weights[name]]), numpy_helper.to_array(original))
    onnx_run(output)(input_batches[0])


def test_kept_nodes_stay_fp32(light_onnx: Path, make_batches: Callable[..., list], tmp_path: Path) -> None:  # type: ignore[type-arg]
    output = tmp_path / "x.onnx"
    done = calibrate_on_batches(
        light_onnx, output, make_batches(IMAGES), target="tensorrt", keep_float=["image_stages.0.0/Conv"]
    )
    assert done.quantized.float_nodes["requested"] == ("image_stages.0.0/Conv",)
    assert "image_stages.0.0/Conv" not in _int8_nodes(output)


@pytest.mark.slow
def test_fp16_weights_become_fp32(
    light_onnx: Path,
    make_batches: Callable[..., list],  # type: ignore[type-arg]
    for_cpus: Calibrated,
    tmp_path: Path,
) -> None:
    """The bundled network stores its weights in FP16 before casts, which quantizers do not look through."""
    model = onnx.load(light_onnx)
    for tensor in list(model.graph.initializer):
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= 256:
            stored = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{tensor.name}.fp16")
            model.graph.node.insert(
                0, onnx.helper.make_node("Cast", [stored.name], [tensor.name], to=TensorProto.FLOAT)
            )
            model.graph.initializer.remove(tensor)
            model.graph.initializer.append(stored)
    source = tmp_path / "fp16-weights.onnx"
    onnx.save(model, str(source))
    done = calibrate_on_batches(source, tmp_path / "x.onnx", make_batches(IMAGES), target="cpu")
    assert done.quantized.int8_nodes == for_cpus.quantized.int8_nodes
    assert _int8_nodes(done.quantized.path) == _int8_nodes(for_cpus.quantized.path)


def test_a_calibration_table_is_reused(
    chain_onnx: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, input_batches, others = tmp_path / "x.onnx", _for_chain(), _for_chain(seed=1)
    first = calibrate_on_batches(chain_onnx, output, input_batches, target="cpu", method="percentile")
    written = json.loads(first.table_path.read_text())
    assert written["method"] == "percentile"
    assert written["frames"] == 4
    assert set(written["tensors"]["0"]) == {"low", "high", "saturated", "least", "greatest", "means"}
    assert len(written["tensors"]["0"]["means"]) == 4
    assert 0 < max(tensor["saturated"] for tensor in written["tensors"].values()) < 0.01
    measured = []
    collect = calibrator.collect_statistics
    monkeypatch.setattr(calibrator, "collect_statistics", lambda *a: measured.append(1) or collect(*a))
    again = calibrate_on_batches(chain_onnx, output, input_batches, target="cpu", method="percentile")
    assert again.reused
    assert again.table == first.table
    other = calibrate_on_batches(chain_onnx, tmp_path / "trt.onnx", [], target="tensorrt", table=first.table_path)
    assert other.reused
    assert not measured
    assert not calibrate_on_batches(chain_onnx, output, others, target="cpu", method="percentile").reused
    assert not calibrate_on_batches(chain_onnx, output, others, target="cpu").reused
    assert len(measured) == 2


def test_incompatible_options_are_refused(
    light_onnx: Path,
    pwcnet_file: Path,
    make_batches: Callable[..., list],  # type: ignore[type-arg]
    for_cpus: Calibrated,
    tmp_path: Path,
) -> None:
    with pytest.raises(ModelFileError, match="of another file: got SHA-256"):
        calibrate_on_batches(pwcnet_file, tmp_path / "y.onnx", [], target="cpu", table=for_cpus.table_path)
    with pytest.raises(ModelFileError, match="expected 'fp32'"):
        calibrate_on_batches(for_cpus.quantized.path, tmp_path / "y.onnx", make_batches(IMAGES, 1), target="cpu")
    with pytest.raises(InputError, match="got no frames"):
        calibrate_on_batches(light_onnx, tmp_path / "y.onnx", [], target="cpu")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ModelFileError, match="cannot be read as a calibration table"):
        CalibrationTable.read(tmp_path / "bad.json")


@pytest.mark.slow
def test_ranges_depend_on_the_frames(
    light_onnx: Path,
    make_batches: Callable[..., list],  # type: ignore[type-arg]
    for_tensorrt: Calibrated,
    tmp_path: Path,
) -> None:
    black = [{name: np.zeros((1, 3, 64, 64), np.float32) for name in IMAGES} for _ in range(2)]
    calibrate_on_batches(light_onnx, tmp_path / "black.onnx", black, target="tensorrt")
    input_batches = make_batches(IMAGES, seed=1)
    reference = onnx_run(light_onnx)
    spoilt, good = (
        np.mean([np.abs(onnx_run(path)(f)["mask"] - reference(f)["mask"]).mean() for f in input_batches])
        for path in (tmp_path / "black.onnx", for_tensorrt.quantized.path)
    )
    assert spoilt > 3 * good
    assert mask_fidelity(reference, onnx_run(for_tensorrt.quantized.path), input_batches).flipped < 0.2
