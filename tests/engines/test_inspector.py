"""Kernel precisions from the layer information of the engine inspector."""

from __future__ import annotations

from typing import Any

import pytest

from amcnet.engines.inspector import kernel_precisions


def _layer(*formats: str, **changed: Any) -> dict[str, Any]:
    outputs = [{"Name": f"t{number}", "Format/Datatype": words} for number, words in enumerate(formats)]
    return {"Name": "a", "LayerType": "CaskConvolution", "Inputs": [], "Outputs": outputs} | changed


@pytest.mark.parametrize(
    ("words", "precision"),
    [
        ("Channel major FP16 format where channel % 8 == 0", "half"),
        ("Half", "half"),
        ("Row major linear FP32", "float"),
        ("Float", "float"),
        ("Thirty-two wide channel vectorized row major Int8 format", "int8"),
        ("Int8", "int8"),
        ("Row major linear BFloat16 format", "bfloat16"),
        ("BFloat16", "bfloat16"),
        ("Row major INT32 format", "other"),
        ("N/A due to dynamic shapes", "other"),
    ],
)
def test_names_of_precisions_are_recognized(words: str, precision: str) -> None:
    assert kernel_precisions([_layer(words)]) == {precision: 1}


def test_layers_are_counted_by_their_first_output() -> None:
    inputs = [{"Name": "x", "Format/Datatype": "Half"}]
    layers = [
        _layer("Half", "Float"),
        _layer("Half"),
        _layer("Float"),
        _layer(Inputs=inputs),
        _layer(),
        {"Name": "only its name"},
    ]
    assert kernel_precisions(layers) == {"half": 3, "float": 1, "other": 1, "unknown": 1}
    assert next(iter(kernel_precisions(layers))) == "half"
    assert kernel_precisions([]) == {}
