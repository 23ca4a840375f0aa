"""Comparison of two forms of a network, with values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from amcnet.export.compare.fidelity import Run, flow_fidelity, mask_fidelity
from amcnet.runtime.errors import ModelFileError

BATCHES = [{"number": np.array(n)} for n in range(4)]


def _gives(name: str, *values: object) -> Run:
    return lambda inputs: {name: np.array(values[int(inputs["number"])], np.float32)}


def test_masks_are_compared_by_iou_and_difference() -> None:
    all_set, half_set, none = [[1.0, 1.0, 1.0, 0.5]], [[0.9, 0.9, 0.0, 0.4]], [[0.0, 0.0, 0.49, 0.0]]
    found = mask_fidelity(
        _gives("mask", all_set, all_set, none, half_set), _gives("mask", all_set, half_set, none, none), BATCHES
    )
    assert found.iou == (1.0, 0.5, 1.0, 0.0)
    assert found.flipped == 4 / 16
    assert found.mean_iou == 0.625
    assert found.iou_p1 == pytest.approx(0.015)  # between the least, 0, and the next, 0.5: 3 % of the way
    assert found.to_json() == {"frames": 4, "mean_iou": 0.625, "iou_p1": found.iou_p1, "flipped": 0.25}


def test_flow_is_compared_by_end_point_error() -> None:
    still = np.zeros((1, 2, 2, 2))
    shifted = still + np.array([3, 4]).reshape(1, 2, 1, 1)
    corner = still.copy()
    corner[0, :, 0, 0] = (0, 8)
    found = flow_fidelity(
        _gives("flow", still, still, still, still), _gives("flow", still, shifted, corner, still), BATCHES
    )
    assert found.frames == 4
    assert found.median_px == 0  # of 0, 5, 0 and 0
    assert found.mean_px == pytest.approx((0 + 5 + 2 + 0) / 4)
    assert found.worst_frame_px == pytest.approx(5)


@pytest.mark.parametrize(("measure", "name"), [(mask_fidelity, "mask"), (flow_fidelity, "flow")])
def test_values_that_are_not_finite_are_refused(measure: object, name: str) -> None:
    good, bad = np.zeros((1, 2, 1, 1)), np.full((1, 2, 1, 1), np.nan)
    with pytest.raises(ModelFileError, match=name):
        measure(_gives(name, good), _gives(name, bad), BATCHES[:1])  # type: ignore[operator]
    with pytest.raises(ValueError, match="got no input batches"):
        measure(_gives(name, good), _gives(name, good), [])  # type: ignore[operator]
