"""A curve over time as SVG text, with marked frames and a cursor that the script of the page moves."""

from __future__ import annotations

import html
from collections.abc import Sequence
from itertools import pairwise

_PARTS = 500  # of a long curve; the lowest and the highest value of each are drawn


def time_chart(
    title: str,
    unit: str,
    seconds: Sequence[float],
    values: Sequence[float | None],
    *,
    top: float,
    marked: Sequence[int] = (),
) -> str:
    """A figure of `values` over `seconds`, one each per frame, with an axis from 0 to `top`.

    None leaves a gap. The frames in `marked` get a dot. The box of 1000x100 is stretched to the width of the page.
    """
    span = seconds[-1] - seconds[0] or 1

    def point(frame: int) -> str:
        return f"{1000 * (seconds[frame] - seconds[0]) / span:.1f} {96 - 92 * (values[frame] or 0) / (top or 1):.1f}"

    steps, pen = [], "M"
    for frame in drawn_frames(values):
        if values[frame] is None:
            pen = "M"
        else:
            steps.append(f"{pen}{point(frame)}")
            pen = "L"
    dots = "".join(f"M{point(frame)}h0" for frame in marked)
    label = html.escape(title)
    return (
        f'<figure><figcaption><b>{label}</b><span class="soft">{html.escape(unit)}</span></figcaption>'
        '<svg class="chart" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{label} over time"><path class="curve" d="{"".join(steps)}"/><path class="dots" d="{dots}"/>'
        '<line class="cursor" y1="0" y2="100"/></svg>'
        f'<div class="axis"><span>{seconds[0]:.2f} s</span><span>{seconds[-1]:.2f} s</span></div></figure>\n'
    )


def drawn_frames(values: Sequence[float | None]) -> list[int]:
    """The frames that a curve goes through: at most 1000, which include every part's lowest and highest value."""
    if len(values) <= 2 * _PARTS:
        return list(range(len(values)))
    chosen: set[int] = set()
    for begin, end in pairwise(len(values) * part // _PARTS for part in range(_PARTS + 1)):
        part = sorted((value, frame) for frame, value in enumerate(values[begin:end], begin) if value is not None)
        chosen |= {part[0][1], part[-1][1]} if part else {begin}
    return sorted(chosen)
