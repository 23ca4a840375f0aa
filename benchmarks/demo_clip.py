"""Render a synthetic clip with ground truth: a textured object that moves in front of a panning background."""

from __future__ import annotations

import functools
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from ..runtime.files.atomic import replacing

SIZE = (854, 480)
FRAME_RATE = Fraction(24)
_CAMERA_PX, _OBJECT_PX = np.array([-1.5, 0.25]), np.array([4.0, -0.75])  # per frame
_TURN_DEG = 1.5


def render_frame(index: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Frame `index`, (480, 854, 3) uint8 RGB, and the mask of its object, (480, 854) bool."""
    width, height = SIZE
    background, foreground, outline = _textures()
    camera = np.array([[1, 0, index * _CAMERA_PX[0]], [0, 1, index * _CAMERA_PX[1]]])
    behind = cv2.warpAffine(background, camera, SIZE, borderMode=cv2.BORDER_REFLECT_101)
    turn = np.array(cv2.getRotationMatrix2D((width / 2, height / 2), index * _TURN_DEG, 1.0), np.float64)
    turn[:, 2] += index * _OBJECT_PX - (0.2 * width, 0)  # from left of the center to the right
    front = cv2.warpAffine(foreground, turn, SIZE, borderMode=cv2.BORDER_REFLECT_101)
    coverage = cv2.warpAffine(outline, turn, SIZE).astype(np.float32) / 255  # soft edge
    frame = np.asarray(cv2.blendLinear(front, behind, coverage, 1 - coverage), np.uint8)
    return frame, coverage >= 0.5


def write_clip(path: Path, frames: int, size: tuple[int, int] = SIZE) -> None:
    """Write the clip as H.264 in mp4, scaled to `size`, (width, height) in even pixels. Raises OutputError."""
    with replacing(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options={"crf": "16"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            frame, _ = render_frame(index)
            if size != SIZE:
                frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def write_annotations(folder: Path, frames: int) -> None:
    """Write the ground truth as NNNNN.png with the values 0 and 255. Raises OutputError."""
    for index in range(frames):
        _, mask = render_frame(index)
        with replacing(folder / f"{index:05d}.png") as temporary:
            temporary.write_bytes(cv2.imencode(".png", mask.view(np.uint8) * np.uint8(255))[1].tobytes())


@functools.cache
def _textures() -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Background and object (H, W, 3), and the outline of the object (H, W), 0 or 255; deterministic."""
    rng = np.random.default_rng(7)
    width, height = SIZE
    background = _noise(rng, (96, 128, 88), 22)
    foreground = _noise(rng, (196, 120, 64), 30)
    angles = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    radius = 95 * (1 + 0.22 * np.cos(3 * angles + 0.4) + 0.1 * np.sin(5 * angles))
    curve = np.stack((width / 2 + 1.3 * radius * np.cos(angles), height / 2 + radius * np.sin(angles)), 1)
    outline = np.zeros((height, width), np.uint8)
    cv2.fillPoly(outline, [np.round(curve).astype(np.int32)], 255)
    return background, foreground, outline


def _noise(rng: np.random.Generator, color: tuple[int, int, int], strength: float) -> NDArray[np.uint8]:
    """Noise of several scales around `color`, (H, W, 3) uint8."""
    image = np.full((SIZE[1], SIZE[0], 3), color, np.float32)
    for cells in (6, 24, 96, 240):
        grid = rng.normal(0, strength, (cells // 2, cells, 3)).astype(np.float32)
        image += cv2.resize(grid, SIZE, interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255).astype(np.uint8)
