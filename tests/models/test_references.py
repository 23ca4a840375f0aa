"""Outputs of the networks compared with those stored by tests/data/make_references.py."""

from __future__ import annotations

import numpy as np
import pytest
from references import CASES, FILE

BOUNDS = {"mask": 2e-5, "attention": 2e-5, "flow": 2e-3}  # probabilities; flow in pixels: those of test_parity.py


@pytest.mark.parametrize("case", CASES)
def test_outputs_equal_the_stored_ones(case: str) -> None:
    with np.load(FILE) as file:
        stored = {name.removeprefix(f"{case}/"): file[name] for name in file.files if name.startswith(f"{case}/")}
    outputs = CASES[case]()
    assert outputs.keys() == stored.keys()
    for name, values in outputs.items():
        bound = BOUNDS[name.rstrip("0123456789")]
        assert values.std() > 20 * bound, f"{name} has too little variation for a comparison"
        np.testing.assert_allclose(values, stored[name], rtol=0, atol=bound, err_msg=name)
