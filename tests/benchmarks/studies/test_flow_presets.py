"""The flow of each setting is on the network's grid, and the default one is that of `amc-infer`."""

from __future__ import annotations

import numpy as np
import seeded

from amcnet.benchmarks.studies.flow_presets import SETTINGS, Setting, flows, summary
from amcnet.runtime.flow.flow import DESCENT_STEPS, REFINEMENTS, DisFlow
from amcnet.runtime.frame import Frame
from amcnet.runtime.opencv_state import single_threaded_opencv

SIZE = (64, 48)


def _frames() -> list[Frame]:
    return [
        Frame(image, index=t, pts=t, pts_seconds=float(t))
        for t, image in enumerate(seeded.image_pair("flow", (160, 120), (3, -2)))
    ]


def test_flow_on_any_grid_is_in_pixels_of_the_networks() -> None:
    with single_threaded_opencv:
        small, large = (next(flows(Setting("medium", grid), _frames(), SIZE)) for grid in (SIZE, (160, 120)))
    assert small.shape == large.shape == (48, 64, 2)
    np.testing.assert_allclose(np.median(large, axis=(0, 1)), [3 * 64 / 160, -2 * 48 / 120], atol=0.1)


def test_one_setting_is_that_of_the_runtime() -> None:
    setting = Setting("medium", SIZE, (3, DESCENT_STEPS, REFINEMENTS))
    frame, next_frame = _frames()
    with single_threaded_opencv, DisFlow(SIZE) as dis:
        np.testing.assert_array_equal(
            next(flows(setting, [frame, next_frame], SIZE)), dis.motion(frame, next_frame).flow
        )
    assert setting.changes in [each.changes for each in SETTINGS]


def test_the_difference_is_to_the_first_setting() -> None:
    reference = {"a": {"J": 0.8, "F": 0.6, "J&F": 0.7}, "b": {"J": 0.9, "F": 0.9, "J&F": 0.9}}
    scores = {"a": {"J": 0.7, "F": 0.7, "J&F": 0.7}, "b": {"J": 0.9, "F": 0.7, "J&F": 0.8}}
    row = summary(scores, reference)
    assert row["average"] == {"J": 0.8, "F": 0.7, "J&F": 0.75}
    assert row["difference"]["mean"] == -0.05
    assert row["difference"]["interval"][0] <= -0.05 <= row["difference"]["interval"][1]
