"""Clips made by program, whose pixels are known."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

PTS_UNIT = Fraction(1, 90_000)  # of the `pts` given to `make_clip`; MP4 keeps it exactly, Matroska rounds to 1/1000
AUDIO_RATE = 44_100


def clip_picture(index: int, size: tuple[int, int], *, moving: bool = True) -> NDArray[np.uint8]:
    """Frame `index` of a clip as a person sees it: (H, W, 3) uint8 RGB for `size` (W, H).

    Red rises from left to right and green from top to bottom, so that any turn or mirroring shows. A white square
    (a quarter of the height, at least 1 px) goes round along the diagonal, an eighth of the width a frame.
    """
    width, height = size
    red = np.linspace(0, 200, width).astype(np.uint8)  # (W,)
    green = np.linspace(0, 200, height).astype(np.uint8)  # (H,)
    pixels = np.full((height, width, 3), 60, np.uint8)
    pixels[..., 0], pixels[..., 1] = red, green[:, None]
    side, step = max(1, height // 4), index if moving else 0
    x = step * max(1, width // 8) % max(1, width - side + 1)
    y = step * max(1, height // 8) % max(1, height - side + 1)
    pixels[y : y + side, x : x + side] = 255
    return pixels


def make_clip(
    path: Path,
    *,
    frames: int = 10,
    size: tuple[int, int] = (64, 48),
    rate: Fraction = Fraction(25),
    pts: list[int] | None = None,
    rotation: int = 0,
    audio: bool = False,
    codec: str = "libx264",
    moving: bool = True,
) -> Path:
    """Write a clip of `clip_picture`s to `path`, whose suffix chooses the container; returns `path`.

    `size` is (W, H) as a person sees it. `rotation` (0, 90, 180 or 270) is how far a player must turn the stored
    frames clockwise; they are stored turned the other way, so that the clip always looks the same. `pts` are times in
    `PTS_UNIT`s, one a frame, for a variable frame rate; otherwise the frames follow each other at `rate`.
    `audio` adds a tone as long as the clip. Codecs that keep RGB (`png`, `libx264rgb`, `ffv1`) give exact pixels if
    lossless; x264 stores odd sizes as yuv444p.
    """
    time_base = PTS_UNIT if pts is not None else 1 / rate
    times = pts if pts is not None else list(range(frames))
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=rate)
        video.codec_context.time_base = time_base
        video.codec_context.thread_count = 1
        video.pix_fmt = _pixel_format(codec, size)
        video.width, video.height = size[::-1] if rotation in (90, 270) else size
        if codec == "libx264":
            video.options = {"preset": "veryfast", "crf": "10"}
        if rotation:
            video.set_display_rotation(-rotation)  # PyAV counts counterclockwise
        tone = container.add_stream("aac", rate=AUDIO_RATE, layout="mono") if audio else None
        samples_done = 0
        for index, time in enumerate(times):
            stored = np.ascontiguousarray(np.rot90(clip_picture(index, size, moving=moving), rotation // 90))
            frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
            frame.pts, frame.time_base = time, time_base
            container.mux(video.encode(frame))
            if tone is not None:
                following = times[index + 1] if index + 1 < len(times) else time + round(1 / rate / time_base)
                samples = np.arange(samples_done, round(following * time_base * AUDIO_RATE))
                wave = np.sin(samples * (2 * np.pi * 440 / AUDIO_RATE)).astype(np.float32)
                sound = av.AudioFrame.from_ndarray(0.2 * wave[None], format="fltp", layout="mono")
                sound.sample_rate, sound.pts, sound.time_base = AUDIO_RATE, samples_done, Fraction(1, AUDIO_RATE)
                container.mux(tone.encode(sound))
                samples_done += len(samples)
        container.mux(video.encode(None))
        if tone is not None:
            container.mux(tone.encode(None))
    return path


def _pixel_format(codec: str, size: tuple[int, int]) -> str:
    exact = {"png": "rgb24", "libx264rgb": "rgb24", "ffv1": "bgr0"}
    return exact.get(codec, "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p")
