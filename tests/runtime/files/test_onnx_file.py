"""Metadata of ONNX files, read without the onnx package, and the errors for other files."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from amcnet.runtime.errors import ModelFileError
from amcnet.runtime.files import onnx_file
from amcnet.runtime.files.onnx_file import REQUIRED, OnnxFile
from amcnet.runtime.preprocessing.spec import AMCNET


def _model(metadata: dict[str, str]) -> bytes:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    weights = helper.make_tensor("w", TensorProto.FLOAT, [4000], [0.5] * 4000)
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4000])
    model = helper.make_model(
        helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [value], [out], [weights])
    )
    helper.set_model_props(model, metadata)
    return model.SerializeToString()


OURS = dict.fromkeys(REQUIRED, "1") | {"amcnet.model": "pwcnet"}


def test_metadata_of_any_text_is_read(tmp_path: Path) -> None:
    extra = {"": "", "größe": "384²", "long": "x" * 100_000}
    path = tmp_path / "m.onnx"
    path.write_bytes(_model(OURS | extra))
    assert OnnxFile.read(path).metadata == OURS | extra


@given(st.binary(max_size=200))
def test_random_bytes_raise_model_file_error(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match="export"):
            OnnxFile.read(path)


@pytest.mark.parametrize("length", [1, 10, 5000, -1])
def test_a_truncated_file_is_refused(length: int, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(_model(OURS)[:length])
    with pytest.raises(ModelFileError):
        OnnxFile.read(path)


def test_errors_name_the_cause_and_the_fix(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(ModelFileError, match=r"no such file.*export-onnx"):
        OnnxFile.read(path)
    path.write_bytes(_model({}))
    with pytest.raises(ModelFileError, match=r"no 'amcnet\.model' in its metadata.*export it again"):
        OnnxFile.read(path)
    path.write_bytes(_model(OURS))
    with pytest.raises(ModelFileError, match="holds the model 'pwcnet'; expected 'amcnet'; make one with: export-onnx"):
        OnnxFile.read(path, "amcnet")


def test_the_preprocessing_is_parsed_once(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(_model(OURS | {onnx_file.PREPROCESSING: AMCNET.to_json()}))
    file = OnnxFile.read(path)
    assert file.preprocessing == AMCNET
    assert file.preprocessing is file.preprocessing


def test_preprocessing_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(_model(OURS | {onnx_file.PREPROCESSING: "{}"}))
    with pytest.raises(ModelFileError, match="the preprocessing in the file's metadata cannot be used"):
        _ = OnnxFile.read(path).preprocessing


def test_metadata_agrees_with_the_onnx_package(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(_model(OURS))
    assert {p.key: p.value for p in onnx.load(path).metadata_props} == OnnxFile.read(path, "pwcnet").metadata
