"""An image that explains the mask of one frame: the network's inputs, its attention maps, its scores and the mask."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..explanation import LEVELS, Explanation
from ..frame import MaskFrame
from .overlay import blend

IMAGE_RGB, FLOW_RGB = (65, 135, 245), (245, 145, 40)  # of the scores of image and flow, in images and in the plot
_WIDTH_PX = 320
_MARGIN_PX = 24
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


def explanation_of(m: MaskFrame) -> Explanation:
    """`m.explanation`. Raises InputError if there is none."""
    if m.explanation is None:
        raise InputError(f"frame {m.index} has no explanation. Fix: Segmenter.load(explain=True)")
    return m.explanation


def explanation_image(m: MaskFrame) -> NDArray[np.uint8]:
    """Nine panels in three rows, (3 h, 960, 3) uint8 RGB, as in Figure 5 of the paper. Raises as `explanation_of`.

    Frame, flow image and mask; the five attention maps from fine to coarse, dark blue for 0 and yellow for 1; and the
    co-attention scores of image and flow as bars. The height h of a panel follows from the shape of the frame.
    """
    explanation = explanation_of(m)
    height, width = m.mask.shape
    size = (_WIDTH_PX, min(max(round(_WIDTH_PX * height / width), _WIDTH_PX // 2), 2 * _WIDTH_PX))
    panels = [
        _panel(m.frame.pixels, size, "frame"),
        _panel(explanation.flow_image, size, "flow"),
        _panel(blend(m.frame.pixels, m.mask), size, "mask"),
        *(
            _panel(_colored(attention), size, f"attention 1/{2 ** (level + 1)}")
            for level, attention in enumerate(explanation.attentions)
        ),
        _bars(explanation.scores, size),
    ]
    return np.vstack([np.hstack(panels[row : row + 3]) for row in (0, 3, 6)])


def _panel(pixels: NDArray[np.uint8], size: tuple[int, int], title: str) -> NDArray[np.uint8]:
    """`pixels` (H, W, 3) at `size` (width, height) with `title` in the upper left corner."""
    interpolation = cv2.INTER_AREA if pixels.shape[1] > size[0] else cv2.INTER_LINEAR
    panel = np.asarray(cv2.resize(pixels, size, interpolation=interpolation), np.uint8)
    _write(panel, title, (7, 17), _BLACK)
    _write(panel, title, (6, 16), _WHITE)
    return panel


def _colored(attention: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Probabilities (h, w) in the colors of viridis, (h, w, 3) RGB."""
    gray = np.rint(attention * np.float32(255)).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(gray, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB), np.uint8)


def _bars(scores: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A bar per level and stream; the gray line is 1."""
    width, height = size
    panel = np.full((height, width, 3), 255, np.uint8)
    top, bottom = 2 * _MARGIN_PX, height - _MARGIN_PX
    cv2.line(panel, (0, top), (width, top), (200, 200, 200))
    step = width // LEVELS
    for level in range(LEVELS):
        for stream, color in enumerate((IMAGE_RGB, FLOW_RGB)):
            left = level * step + step // 6 + stream * step // 3
            bar_top = bottom - round((bottom - top) * float(scores[level, stream]))
            cv2.rectangle(panel, (left, bar_top), (left + step // 3 - 1, bottom), color, cv2.FILLED)
        _write(panel, f"1/{2 ** (level + 1)}", (level * step + step // 4, height - 8), _BLACK)
    _write(panel, "scores of", (6, 16), _BLACK)
    _write(panel, "image", (92, 16), IMAGE_RGB)
    _write(panel, "flow", (150, 16), FLOW_RGB)
    return panel


def _write(panel: NDArray[np.uint8], text: str, corner: tuple[int, int], color: tuple[int, int, int]) -> None:
    cv2.putText(panel, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, 1, cv2.LINE_AA)
