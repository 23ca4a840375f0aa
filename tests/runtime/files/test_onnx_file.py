"""Reading what a file says of itself, without onnx; and what it says when it is no file of ours."""

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


def test_metadata_of_any_text(tmp_path: Path) -> None:
    extra = {"": "", "größe": "384²", "long": "x" * 100_000}
    path = tmp_path / "m.onnx"
    path.write_bytes(_model(OURS | extra))
    assert OnnxFile.read(path).metadata == OURS | extra


@given(st.binary(max_size=200))
def test_any_bytes_give_an_error_and_no_crash(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match="export"):
            OnnxFile.read(path)


@pytest.mark.parametrize("length", [1, 10, 5000, -1])
def test_a_file_cut_short(length: int, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(_model(OURS)[:length])
    with pytest.raises(ModelFileError):
        OnnxFile.read(path)


def test_errors_say_what_and_what_to_do(tmp_path: Path) -> None:
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


def test_a_file_whose_preprocessing_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(_model(OURS | {onnx_file.PREPROCESSING: "{}"}))
    with pytest.raises(ModelFileError, match="the preprocessing in the file's metadata cannot be used"):
        _ = OnnxFile.read(path).preprocessing


def test_onnx_itself_agrees(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(_model(OURS))
    assert {p.key: p.value for p in onnx.load(path).metadata_props} == OnnxFile.read(path, "pwcnet").metadata
