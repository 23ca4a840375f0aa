"""Contact sheet of an evaluation: correct, wrong and missed regions of seven frames per sequence."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import InputError
from .evaluation import Evaluation, FrameScore, SequenceEvaluation
from .protocol import Protocol
from .report import percent

# RGB. Blue and red, not red and green: both are distinguishable with color vision deficiency.
_CORRECT, _WRONG, _MISSED = (60, 200, 90), (235, 50, 40), (40, 110, 255)
_OUTLINE, _WORST = (255, 255, 255), (255, 40, 40)
_BACKGROUND, _TEXT, _FAINT = (24, 26, 30), (235, 237, 240), (160, 165, 172)

_WIDTH = 1600
_COLUMNS = 7
_MARGIN = 12
_GAP = 8
_CELL = (_WIDTH - 2 * _MARGIN - (_COLUMNS - 1) * _GAP) // _COLUMNS  # 218 px
_LABEL, _CAPTION = 42, 20
_FRAME = 3
_FONT = cv2.FONT_HERSHEY_SIMPLEX

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Color = tuple[int, int, int]


def contact_sheet(evaluation: Evaluation, images: Path | None = None) -> Image:
    """(H, 1600, 3) uint8 RGB: a legend, then a strip of seven frames per sequence, including the one with the lowest J.

    `images` has the frames as DIR/<sequence>/NNNNN.jpg (png, webp), or DIR/NNNNN.jpg for a single sequence; without it
    the background is black. Raises InputError if the image of a frame is missing.
    """
    strips = []
    for sequence in evaluation.sequences:
        shown = _select_with_worst(sequence)
        backgrounds = _backgrounds(shown, sequence.name, images, alone=len(evaluation.sequences) == 1)
        cells = [_cell(frame, evaluation.protocol, image) for frame, image in zip(shown, backgrounds, strict=True)]
        strips.append(_strip(sequence, shown, cells))
    return np.concatenate([_legend(evaluation), *strips, _blank(_MARGIN)])


def _select_with_worst(sequence: SequenceEvaluation) -> list[FrameScore]:
    """At most seven frames in order, spaced evenly, with the nearest replaced by the frame with the lowest J."""
    last = len(sequence.frames) - 1
    selected = sorted({round(position) for position in np.linspace(0, last, _COLUMNS)})
    worst = sequence.frames.index(sequence.worst)
    selected[int(np.argmin([abs(index - worst) for index in selected]))] = worst
    return [sequence.frames[index] for index in selected]


def _backgrounds(
    frames: list[FrameScore], sequence: str, images: Path | None, *, alone: bool
) -> list[Image] | list[None]:
    if images is None:
        return [None] * len(frames)
    folder = images if alone and not (images / sequence).is_dir() else images / sequence
    return [_image(folder, frame.pair.name) for frame in frames]


def _image(folder: Path, name: str) -> Image:
    for suffix in (".jpg", ".jpeg", ".png", ".webp"):
        path = folder / f"{name}{suffix}"
        if path.is_file():
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is None:
                raise InputError(f"{path} cannot be decoded; expected an image")
            return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    raise InputError(
        f"no image {folder / name}.jpg (or jpeg, png, webp). Fix: leave out --images for a black background"
    )


def _cell(frame: FrameScore, protocol: Protocol, image: Image | None) -> Image:
    """One frame, scaled to the cell: a dimmed image, tinted regions, and the outline of the annotation."""
    mask, annotation = frame.pair.read(protocol)
    scale = _CELL / max(mask.shape)
    size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    cell = np.zeros((size[1], size[0], 3), np.uint8)
    if image is not None:
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        # Desaturated and darkened: a red car must not look like an error.
        cell[:] = 0.4 * small + 0.4 * small.mean(axis=2, keepdims=True)
    _tint(cell, mask & annotation, _CORRECT, 0.45)
    contours, _ = cv2.findContours(annotation.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    # 4 fractional bits, for a smooth outline at the small size.
    outline = [np.rint(((contour + 0.5) * scale - 0.5) * 16).astype(np.int32) for contour in contours]
    cv2.polylines(cell, outline, True, _OUTLINE, 1, cv2.LINE_AA, shift=4)
    # Errors last: on a small object the outline would hide them.
    _tint(cell, mask & ~annotation, _WRONG, 0.85)
    _tint(cell, annotation & ~mask, _MISSED, 0.85)
    return cell


def _tint(cell: Image, region: NDArray[np.bool_], color: Color, strength: float) -> None:
    """Tint `region`, a mask of the full frame, in the scaled `cell`, in place."""
    # Area coverage, not a threshold: an error one pixel wide at full size stays visible as a faint line.
    size = (cell.shape[1], cell.shape[0])
    share = np.asarray(cv2.resize(region.astype(np.float32), size, interpolation=cv2.INTER_AREA))[..., None] * strength
    cell[:] = np.rint(cell * (1 - share) + np.array(color) * share)


def _strip(sequence: SequenceEvaluation, shown: list[FrameScore], cells: list[Image]) -> Image:
    strip = _blank(_LABEL + _CAPTION + max(len(cell) for cell in cells) + _FRAME)
    x = _write(strip, sequence.name, _MARGIN, 30, size=0.62)
    scores = f"J {percent(sequence.region.mean)}   F {percent(sequence.boundary.mean)}"
    x = _write(strip, scores, x + 24, 30, size=0.56)
    _write(strip, f"{len(sequence.frames)} frames", x + 24, 30, size=0.48, color=_FAINT)
    top = _LABEL + _CAPTION
    for column, (frame, cell) in enumerate(zip(shown, cells, strict=True)):
        left = _MARGIN + column * (_CELL + _GAP)
        bottom, right = top + cell.shape[0], left + cell.shape[1]
        if frame is sequence.worst:
            strip[_LABEL : bottom + _FRAME, left - _FRAME : right + _FRAME] = _WORST
            _write(strip, f"{frame.pair.name}   worst: J {percent(frame.region)}", left + 2, top - 6, size=0.42)
        else:
            _write(strip, f"{frame.pair.name}   J {percent(frame.region)}", left, top - 6, size=0.42, color=_FAINT)
        strip[top:bottom, left:right] = cell
    return strip


def _legend(evaluation: Evaluation) -> Image:
    legend = _blank(76)
    average = (
        f"J {percent(evaluation.region.mean)}   F {percent(evaluation.boundary.mean)}   "
        f"J&F {percent(evaluation.region_and_boundary)}"
    )
    x = _write(legend, average, _MARGIN, 32, size=0.8)
    about = (
        f"{evaluation.protocol.name}, in percent; sequences: {len(evaluation.sequences)}, frames: {evaluation.frames}"
    )
    _write(legend, about, x + 24, 32, size=0.52, color=_FAINT)
    x = _MARGIN
    for color, text in (
        (_CORRECT, "correct"),
        (_WRONG, "wrong: only in the mask"),
        (_MISSED, "missed: only annotated"),
    ):
        cv2.rectangle(legend, (x, 50), (x + 22, 66), color, cv2.FILLED)
        x = _write(legend, text, x + 30, 64, size=0.5) + 28
    cv2.line(legend, (x, 58), (x + 22, 58), _OUTLINE, 2)
    x = _write(legend, "outline of the annotation", x + 30, 64, size=0.5) + 28
    cv2.rectangle(legend, (x, 50), (x + 22, 66), _WORST, 3)
    _write(legend, "worst frame by J", x + 30, 64, size=0.5)
    return legend


def _blank(height: int) -> Image:
    return np.full((height, _WIDTH, 3), _BACKGROUND, np.uint8)


def _write(image: Image, text: str, x: int, baseline: int, *, size: float, color: Color = _TEXT) -> int:
    """Draw `text` in place; returns the x coordinate of its end."""
    cv2.putText(image, text, (x, baseline), _FONT, size, color, 1, cv2.LINE_AA)
    return x + cv2.getTextSize(text, _FONT, size, 1)[0][0]
