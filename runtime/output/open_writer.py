"""The writer of each kind of output."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..frame import MaskFrame, SourceInfo
from .background import BackgroundWriter
from .boxes import BOXES_HEADER, boxes_line
from .cutout import Cutout
from .explanation_image import explanation_image
from .explanation_plot import SCORES_HEADER, ScoresPlotWriter, scores_lines
from .image_writer import ImageWriter
from .kinds import require_kinds
from .mask_files import encode_png, index_name, mask_pixels, probability_pixels
from .matte import Matte
from .overlay import ContoursWriter, OverlayWriter
from .palette_png import davis_palette, palette_png
from .rle import rle_line
from .text_writer import TextWriter
from .video_encoding import FFV1_GRAY, H264_GRAY, PRORES_4444, VP9_ALPHA, VideoEncoding
from .video_writer import VideoWriter
from .writer import Writer


def open_writer(
    kind: str,
    path: str | Path,
    info: SourceInfo,
    *,
    threshold: float = 0.5,
    soft_edges: tuple[float, float] | None = None,
    background: str | Path = "blur",
    name: Callable[[int], str] = index_name,
    cutout: Cutout | None = None,
) -> Writer:
    """A writer of one output, to be used in a `with` block: `write(m)` for each `MaskFrame` in order.

        with (
            Segmenter.load() as segmenter,
            open_frames("clip.mp4") as reader,
            open_writer("alpha-prores", "cut.mov", reader.info) as cut,
        ):
            for m in segmenter.masks(reader):
                cut.write(m)

    Args:
        kind: a name of `amc-infer --write`, such as "masks", "alpha-prores" or "rle"; docs/outputs.md lists them.
        path: the file to write, or the folder for kinds of one PNG per frame. The suffix does not choose the format.
        info: the source of the frames, as `open_frames(...).info`: its clock, and the audio that some kinds copy.
        threshold: that of the masks; opacity is a half there.
        soft_edges: probabilities at which the object becomes opaque from 0 on and wholly, such as (0.25, 0.75); None:
            half way from the threshold to 0 and to 1.
        background: for kind "background": "blur", a color "#00ff00", or an image or video.
        name: file name of the image of each frame, by its index.
        cutout: opacity and colors that several writers share, made with the same threshold and edges.

    Nothing is written before the block is entered. A file that exists is replaced when the new one is whole.

    Raises:
        InputError: `kind` is unknown, the edges do not enclose the threshold, or the background cannot be read.
        OutputError: a file cannot be written; raised by the block.
    """
    require_kinds([kind])
    path = Path(path)
    cutout = cutout or Cutout(Matte.make(threshold, soft_edges))
    makers: dict[str, Callable[[], Writer]] = {
        "masks": lambda: ImageWriter(path, lambda m: encode_png(mask_pixels(m.mask)), name),
        "masks-davis": lambda: ImageWriter(path, _davis_png, name),
        "probabilities": lambda: ImageWriter(path, lambda m: encode_png(probability_pixels(m.probability)), name),
        "matte": lambda: _video(path, info, cutout.alpha, kind, FFV1_GRAY),
        "matte-h264": lambda: _video(path, info, cutout.alpha, kind, H264_GRAY),
        "alpha-prores": lambda: _video(path, info, cutout.rgba, kind, PRORES_4444),
        "alpha-webm": lambda: _video(path, info, cutout.rgba, kind, VP9_ALPHA),
        "alpha-png": lambda: ImageWriter(path, lambda m: _rgba_png(cutout.rgba(m)), name),
        "background": lambda: BackgroundWriter(path, info, cutout, background),
        "overlay": lambda: OverlayWriter(path, info),
        "contours": lambda: ContoursWriter(path, info),
        "rle": lambda: TextWriter(path, rle_line),
        "boxes": lambda: TextWriter(path, boxes_line, header=BOXES_HEADER),
        "explain": lambda: ImageWriter(path, _explanation_png, name),
        "explain-scores": lambda: TextWriter(path, scores_lines, header=SCORES_HEADER),
        "explain-plot": lambda: ScoresPlotWriter(path),
    }
    return makers[kind]()


def _video(
    path: Path,
    info: SourceInfo,
    draw: Callable[[MaskFrame], NDArray[np.uint8]],
    name: str,
    encoding: VideoEncoding,
) -> VideoWriter:
    return VideoWriter(path, info, draw, name=name, encoding=encoding)


def _davis_png(m: MaskFrame) -> bytes:
    return palette_png(m.mask.view(np.uint8), davis_palette())


def _explanation_png(m: MaskFrame) -> bytes:
    return encode_png(np.asarray(cv2.cvtColor(explanation_image(m), cv2.COLOR_RGB2BGR), np.uint8))


def _rgba_png(pixels: NDArray[np.uint8]) -> bytes:
    return encode_png(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA), np.uint8))
