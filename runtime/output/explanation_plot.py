"""The co-attention scores of a clip: lines of CSV, and a plot over time as an SVG file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..explanation import LEVELS
from ..files.atomic import begin, discard, replacing
from ..frame import MaskFrame
from .explanation_image import FLOW_RGB, IMAGE_RGB, explanation_of

SCORES_HEADER = "frame,seconds,level,image_score,flow_score"
_MOST_POINTS = 1000  # of a line; each is the mean of adjacent frames where there are more
_WIDTH_PX, _LEFT_PX, _TOP_PX, _PANEL_PX, _GAP_PX = 960, 60, 40, 90, 20


def scores_lines(m: MaskFrame) -> str:
    """Five lines of CSV under `SCORES_HEADER`, from level 0, the finest. Raises InputError without an explanation."""
    return "\n".join(
        f"{m.index},{round(m.pts_seconds, 6)},{level},{image:.6f},{flow:.6f}"
        for level, (image, flow) in enumerate(explanation_of(m).scores)
    )


def scores_plot(seconds: Sequence[float], scores: Sequence[NDArray[np.float32]]) -> str:
    """An SVG image of the `scores` (5, 2) of each frame over its time, as in Figure 6 of the paper.

    One panel per level, the finest on top, with a line for the image and a line for the flow between 0 and 1.
    """
    bins = np.array_split(np.arange(len(seconds)), min(len(seconds), _MOST_POINTS))
    times = [float(np.mean(np.take(seconds, each))) for each in bins]
    values = np.stack([np.mean([scores[index] for index in each], axis=0) for each in bins])  # (n, 5, 2)
    height = _TOP_PX + LEVELS * (_PANEL_PX + _GAP_PX) + _GAP_PX
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH_PX} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH_PX}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT_PX}" y="22">co-attention scores of '
        f'<tspan fill="{_hex(IMAGE_RGB)}">image</tspan> and <tspan fill="{_hex(FLOW_RGB)}">flow</tspan></text>',
    ]
    for level in range(LEVELS):
        lines += _panel(level, times, values[:, level])
    lines += [
        f'<text x="{_LEFT_PX}" y="{height - 14}">{seconds[0]:.2f} s</text>',
        f'<text x="{_WIDTH_PX - _GAP_PX}" y="{height - 14}" text-anchor="end">{seconds[-1]:.2f} s</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _panel(level: int, times: list[float], values: NDArray[np.float32]) -> list[str]:
    """The axes and the two lines of one level; `values` are (n, 2)."""
    top = _TOP_PX + level * (_PANEL_PX + _GAP_PX)
    right, bottom = _WIDTH_PX - _GAP_PX, top + _PANEL_PX
    lines = [
        f'<rect x="{_LEFT_PX}" y="{top}" width="{right - _LEFT_PX}" height="{_PANEL_PX}" '
        'fill="none" stroke="#c8c8c8"/>',
        f'<text x="{_LEFT_PX - 6}" y="{top + _PANEL_PX / 2 + 4:g}" text-anchor="end">1/{2 ** (level + 1)}</text>',
        f'<text x="{_LEFT_PX - 6}" y="{top + 10}" text-anchor="end" font-size="10">1</text>',
        f'<text x="{_LEFT_PX - 6}" y="{bottom}" text-anchor="end" font-size="10">0</text>',
    ]
    x = np.interp(times, (times[0], max(times[-1], times[0] + 1e-3)), (_LEFT_PX, right))
    for color, stream in zip((IMAGE_RGB, FLOW_RGB), values.T, strict=True):
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, bottom - _PANEL_PX * stream, strict=True))
        lines.append(
            f'<polyline points="{points}" fill="none" stroke="{_hex(color)}" stroke-width="1.5" '
            'stroke-linecap="round"/>'
        )
    return lines


class ScoresPlotWriter:
    """Writes `scores_plot` of all frames to `path` when the block is left, or of those so far after an error.

    Without a frame there is no file. Memory: 100 bytes per frame.

        with ScoresPlotWriter(path) as plot:
            plot.write(m)
    """

    def __init__(self, path: Path) -> None:
        self.notes: list[str] = []
        self._path = path
        self._seconds: list[float] = []
        self._scores: list[NDArray[np.float32]] = []

    def __enter__(self) -> Self:
        discard(begin(self._path))  # a path that cannot be written is an error before the first frame
        return self

    def write(self, m: MaskFrame) -> None:
        """Add the scores of `m`. Raises InputError without an explanation."""
        self._scores.append(explanation_of(m).scores)
        self._seconds.append(m.pts_seconds)

    def __exit__(self, *_: object) -> None:
        if self._scores:
            with replacing(self._path) as temporary:
                temporary.write_text(scores_plot(self._seconds, self._scores), encoding="utf-8")


def _hex(color: tuple[int, int, int]) -> str:
    return "#" + bytes(color).hex()
