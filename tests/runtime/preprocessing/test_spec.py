"""The preprocessing specification in the metadata of an ONNX file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from amcnet.runtime.errors import ModelFileError
from amcnet.runtime.preprocessing.spec import AMCNET, Preprocessing, pwcnet


def test_preprocessing_is_read_back_from_json() -> None:
    for constants in (AMCNET, pwcnet((832, 448))):
        assert Preprocessing.from_json(constants.to_json()) == constants
    assert json.loads(AMCNET.to_json()) == {
        "size": [384, 384],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "channel_order": "RGB",
        "resize": "bicubic-antialiased",
    }


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"size": [384]}, "size is"),
        ({"size": [384.5, 384]}, "size is"),
        ({"size": [0, 384]}, "size is"),
        ({"size": 384}, "not iterable"),
        ({"mean": [0.5, 0.5]}, "mean is"),
        ({"mean": ["a", "b", "c"]}, "cannot be used"),
        ({"std": [1.0, 0.0, 1.0]}, "above 0"),
        ({"channel_order": "GBR"}, "channel_order is 'GBR'"),
        ({"resize": "nearest"}, "resize is 'nearest'"),
    ],
)
def test_bad_values_are_named(changes: dict[str, Any], complaint: str) -> None:
    text = json.dumps({**json.loads(AMCNET.to_json()), **changes})
    with pytest.raises(ModelFileError, match=complaint) as caught:
        Preprocessing.from_json(text)
    assert "export-onnx" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "3", '{"size": [384, 384]}'])
def test_errors_of_bad_json_name_the_expected_form(text: str) -> None:
    with pytest.raises(ModelFileError, match=r"expected JSON like .*bicubic-antialiased"):
        Preprocessing.from_json(text)


def test_a_missing_key_is_named() -> None:
    fields = json.loads(AMCNET.to_json())
    del fields["std"]
    with pytest.raises(ModelFileError, match="key 'std' is missing"):
        Preprocessing.from_json(json.dumps(fields))
