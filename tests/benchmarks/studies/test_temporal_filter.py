"""The forms of the temporal filter that the study compares, on a drawn sequence."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from amcnet.benchmarks.demo_clip import render_frame
from amcnet.benchmarks.studies.temporal_filter import UNSEEN, VARIANTS, Clip, Variant, filtered
from amcnet.runtime.flow.flow import DisFlow
from amcnet.runtime.frame import Frame
from amcnet.runtime.refine.temporal import Evidence, filter_in_time
from amcnet.runtime.stage_times import StageTimes
from amcnet.training.data.davis import HELD_OUT

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"
SIDE = 64


@pytest.fixture(scope="module")
def clip() -> Clip:
    """Four frames of the demo clip, with random probabilities."""
    drawn = [render_frame(t) for t in range(4)]
    frames = [Frame(pixels, t, t, t / 25) for t, (pixels, _) in enumerate(drawn)]
    dis, random = DisFlow((SIDE, SIDE)), np.random.default_rng(0)
    items = [
        Evidence(frame, random.random((SIDE, SIDE), np.float32), dis.motion(frame, following))
        for frame, following in pairwise([*frames, None])
        if frame is not None
    ]
    backward = [dis.motion(later, earlier).flow for earlier, later in pairwise(frames)]
    return Clip(items, [flow for flow in backward if flow is not None], [truth for _, truth in drawn])


def test_the_default_variant_is_the_filter_of_the_product(clip: Clip) -> None:
    product = [item.probability for item in filter_in_time(iter(clip.items), StageTimes())]
    np.testing.assert_allclose(filtered(clip, Variant()), product, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "as in amc-infer"])
def test_each_other_variant_differs(clip: Clip, name: str) -> None:
    assert np.abs(np.array(filtered(clip, VARIANTS[name])) - filtered(clip, Variant())).max() > 0.01


def test_the_committed_result_is_of_the_held_out_sequences() -> None:
    found = json.loads((RESULTS / "temporal.json").read_text())
    assert list(found["variants"]) == ["no filter", *VARIANTS]
    for row in found["variants"].values():
        assert sorted(row["sequences"]) == sorted(HELD_OUT)
        assert set(row["sequences"]) > set(UNSEEN)
        both = np.mean([(scores["J"] + scores["F"]) / 2 for scores in row["sequences"].values()])
        assert row["average"]["J&F"] == pytest.approx(both, abs=2e-4)
