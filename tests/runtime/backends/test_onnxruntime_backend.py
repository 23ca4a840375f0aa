"""ONNX Runtime as a backend: its outputs, and the errors for wrong files and installations."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

from amcnet.runtime.backends import onnxruntime_session
from amcnet.runtime.backends.onnxruntime_backend import OnnxRuntimeBackend
from amcnet.runtime.errors import BackendError, ModelFileError
from amcnet.runtime.files.onnx_file import OnnxFile

INPUTS = {name: np.zeros((1, 3, 384, 384), np.float32) for name in ("image", "flow_image")}


def _installed(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    def version(package: str) -> str:
        if package in packages:
            return "1.23.4"
        raise PackageNotFoundError(package)

    monkeypatch.setattr(onnxruntime_session, "version", version)


def test_outputs_are_returned_by_name(amcnet_onnx: Path, networks: ModuleType) -> None:
    file = OnnxFile.read(amcnet_onnx)
    with OnnxRuntimeBackend(file, 1) as network:
        outputs = network.run(INPUTS)
        assert network.name.startswith("ONNX Runtime 1.")
    assert list(outputs) == ["mask"]
    assert outputs["mask"].shape == (1, 1, 384, 384)
    np.testing.assert_allclose(outputs["mask"], 1 / (1 + np.exp(-networks.BIAS)), atol=1e-6)
    with pytest.raises(ValueError, match="is closed"):
        network.run(INPUTS)


def test_further_outputs_are_returned_on_request(tmp_path: Path, amcnet_onnx: Path) -> None:
    model = onnx.load(str(amcnet_onnx))
    model.graph.output.append(onnx.helper.make_tensor_value_info("logits", 1, None))
    onnx.save(model, str(tmp_path / "more.onnx"))
    with OnnxRuntimeBackend(OnnxFile.read(tmp_path / "more.onnx"), 1) as network:
        assert list(network.run(INPUTS)) == ["mask"]
    with OnnxRuntimeBackend(OnnxFile.read(tmp_path / "more.onnx"), 1, extra_outputs=["logits"]) as network:
        outputs = network.run(INPUTS)
    assert list(outputs) == ["mask", "logits"]
    np.testing.assert_allclose(outputs["mask"], 1 / (1 + np.exp(-outputs["logits"])), atol=1e-6)


def test_outputs_that_are_not_finite_are_refused(tmp_path: Path, networks: ModuleType) -> None:
    file = OnnxFile.read(networks.make_amcnet(tmp_path / "nan.onnx", nan=True))
    with (
        OnnxRuntimeBackend(file, 1) as network,
        pytest.raises(ModelFileError, match=r"nan\.onnx: the output 'mask' has values that are not finite.*export"),
    ):
        network.run(INPUTS)


def test_a_single_infinite_value_is_refused(amcnet_onnx: Path) -> None:
    image = INPUTS["image"].copy()
    image[0, 1, 200, 300] = np.nan
    with (
        OnnxRuntimeBackend(OnnxFile.read(amcnet_onnx), 1) as network,
        pytest.raises(ModelFileError, match="not finite"),
    ):
        network.run(INPUTS | {"image": image})


def test_inputs_that_do_not_fit_are_named(tmp_path: Path, networks: ModuleType) -> None:
    file = OnnxFile.read(networks.make_amcnet(tmp_path / "gray.onnx", channels=1))
    with (
        OnnxRuntimeBackend(file, 1) as network,
        pytest.raises(ModelFileError, match=r"gray\.onnx cannot be run on image float32 \(1, 3, 384, 384\).*export"),
    ):
        network.run(INPUTS)


def test_wrong_output_names_are_refused_on_loading(tmp_path: Path, networks: ModuleType) -> None:
    file = OnnxFile.read(networks.make_amcnet(tmp_path / "salience.onnx", output="salience"))
    with pytest.raises(
        ModelFileError, match=r"the inputs image, flow_image and the outputs salience; expected .* and mask.*Fix: "
    ):
        OnnxRuntimeBackend(file, 1)
    file = OnnxFile.read(networks.make_amcnet(tmp_path / "liar.onnx", network="pwcnet"))
    with pytest.raises(
        ModelFileError, match=r"the inputs image, flow_image.*expected frame, next_frame and flow\. Fix: "
    ):
        OnnxRuntimeBackend(file, 1)


def test_a_file_refused_by_the_library_is_an_error(tmp_path: Path, amcnet_onnx: Path) -> None:
    model = onnx.load(str(amcnet_onnx))
    model.graph.node[0].op_type = "MadeUpOperator"
    onnx.save(model, str(tmp_path / "odd.onnx"))
    with pytest.raises(BackendError, match=r"ONNX Runtime 1\S* refuses .*odd\.onnx: .*MadeUpOperator.*Fix: export"):
        OnnxRuntimeBackend(OnnxFile.read(tmp_path / "odd.onnx"), 1)


def test_without_a_package_the_error_names_the_extra(amcnet_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match=r"needs ONNX Runtime, which is not installed.*amcnet\[cpu\].*amcnet\[gpu\]"):
        OnnxRuntimeBackend(OnnxFile.read(amcnet_onnx), 1)


def test_both_packages_at_once_are_refused(amcnet_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, "onnxruntime", "onnxruntime-gpu")
    with pytest.raises(BackendError, match=r"onnxruntime 1\.23\.4 and onnxruntime-gpu 1\.23\.4 are both.*uninstall"):
        OnnxRuntimeBackend(OnnxFile.read(amcnet_onnx), 1)


def test_a_package_that_cannot_be_imported_is_an_error(amcnet_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, "onnxruntime-gpu")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match=r"onnxruntime-gpu 1\.23\.4 is installed but cannot be imported"):
        OnnxRuntimeBackend(OnnxFile.read(amcnet_onnx), 1)


def test_builds_of_other_names_are_accepted(amcnet_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch)  # as onnxruntime-openvino or a build of one's own look
    with OnnxRuntimeBackend(OnnxFile.read(amcnet_onnx), 1) as network:
        assert "mask" in network.run(INPUTS)
