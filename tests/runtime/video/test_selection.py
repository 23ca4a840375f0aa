"""The selection of frames: its values are checked when it is made, also by the options of a run."""

from __future__ import annotations

from typing import Any

import pytest

from amcnet.runtime.errors import InputError
from amcnet.runtime.infer import InferOptions
from amcnet.runtime.video.selection import Selection

OUT_OF_RANGE: list[tuple[dict[str, Any], str]] = [
    ({"start": -1}, "expected start 0 or more"),
    ({"frames": 0}, "frames and stride 1 or more"),
    ({"stride": 0}, "frames and stride 1 or more"),
    ({"duration": 0.0}, "duration: got 0.0, expected seconds above 0"),
    ({"duration": float("inf")}, "duration: got inf, expected seconds above 0"),
    ({"deinterlace": "maybe"}, "deinterlace: got 'maybe', expected auto, yes, no"),
]


@pytest.mark.parametrize(("values", "message"), OUT_OF_RANGE)
def test_values_out_of_range_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Selection(**values)
    with pytest.raises(InputError, match=message):
        InferOptions(source="clip.mp4", output="out", **values)


def test_options_of_a_run_hold_its_selection() -> None:
    values = {"start": 1, "frames": 2, "stride": 3, "duration": 4.0, "video_stream": 5, "deinterlace": "no"}
    assert InferOptions(source="clip.mp4", output="out", **values).selection == Selection(**values)  # type: ignore[arg-type]
