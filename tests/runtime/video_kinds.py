"""Videos and images of kinds that need care, made by program; each function writes one file and returns its path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]


def encode(
    path: Path,
    images: Sequence[Pixels | av.VideoFrame],
    codec: str,
    *,
    pix_fmt: str = "yuv420p",
    rate: int = 25,
    container_options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    setup: Callable[[av.VideoStream], None] = lambda stream: None,
    **options: str,
) -> Path:
    """One video track of `images`, (H, W, 3) uint8 RGB or frames; `setup` changes the stream before it is opened."""
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=rate, options=options)
        first = images[0]
        stream.width, stream.height = (
            (first.width, first.height) if isinstance(first, av.VideoFrame) else first.shape[1::-1]
        )
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        setup(stream)
        base = time_base or Fraction(1, rate)
        stream.codec_context.time_base = base
        for index, image in enumerate(images):
            frame = image if isinstance(image, av.VideoFrame) else av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = (pts[index] if pts else index), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def solid(width: int, height: int, planes: tuple[int, int, int], pix_fmt: str = "yuv420p") -> av.VideoFrame:
    """A frame of one color, given as it is stored."""
    frame = av.VideoFrame(width, height, pix_fmt)
    size = 2 if "10" in pix_fmt else 1
    for plane, value in zip(frame.planes, planes, strict=True):
        plane.update(value.to_bytes(size, "little") * (plane.buffer_size // size))
    return frame


def with_title_in_latin1(path: Path, images: Sequence[Pixels]) -> Path:
    codec = "wmv2" if path.suffix == ".wmv" else "mpeg4"
    encode(path, images, codec, metadata={"title": "Groesse!"})
    data = path.read_bytes()
    if path.suffix == ".wmv":  # UTF-16; a lone half of a surrogate pair is none
        before, after = "Groesse!".encode("utf-16-le"), "Gr".encode("utf-16-le") + b"\x00\xd8" * 6
    else:
        before, after = b"Groesse!", "Größe  !".encode("latin-1")
    assert before in data
    path.write_bytes(data.replace(before, after))
    return path


def two_streams(
    path: Path, streams: Sequence[tuple[int, tuple[int, int], bool]], picture: Callable[..., Pixels]
) -> Path:
    """Video streams of (frames, (W, H), default flag) in one file."""
    with av.open(str(path), "w") as container:
        opened = []
        for _, (width, height), default in streams:
            stream = container.add_stream("mpeg4", rate=25, width=width, height=height, pix_fmt="yuv420p")
            stream.disposition = 1 if default else 0
            opened.append(stream)
        for index in range(max(frames for frames, _, _ in streams)):
            for stream, (frames, size, _) in zip(opened, streams, strict=True):
                if index < frames:
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index, size), format="rgb24")))
        for stream in opened:
            container.mux(stream.encode(None))
    return path


def transport_stream(path: Path, images: Sequence[Pixels], *, start: float = 0.0) -> Path:
    """25 fps H.264 with B-frames and AAC: the pitch of the tone is 200 Hz + 1000 Hz a second of the piece."""
    rate = 48_000
    with av.open(str(path), "w", container_options={"mpegts_copyts": "1"}) as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "bf": "2"})
        video.height, video.width = images[0].shape[:2]
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=rate, layout="mono")
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round((start + index / 25) * 90_000), Fraction(1, 90_000)
            video.codec_context.time_base = Fraction(1, 90_000)
            container.mux(video.encode(frame))
            at = np.arange(index * rate // 25, (index + 1) * rate // 25) / rate
            wave = 0.5 * np.sin(2 * np.pi * (200 * at + 500 * at**2))
            sound = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
            sound.sample_rate, sound.time_base = rate, Fraction(1, rate)
            sound.pts = round(start * rate) + index * rate // 25
            container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def joined(path: Path, pieces: Sequence[Path]) -> Path:
    path.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    return path


def interlaced(path: Path, *, frames: int = 8, marked: bool = True) -> Path:
    """A bright bar on gray that moves by 8 pixels from field to field: every frame shows it twice, line by line."""

    def setup(stream: av.VideoStream) -> None:
        if marked:
            stream.codec_context.flags |= 0x00040000 | 0x20000000  # interlaced DCT and motion estimation

    images = []
    for index in range(frames):
        image = np.full((64, 160, 3), 90, np.uint8)
        for field in (0, 1):
            x = 16 * index + 8 * field
            image[field::2, x : x + 16] = 230
        images.append(image)
    return encode(path, images, "mpeg2video", pix_fmt="yuv422p", setup=setup, qmin="1", b="20M")
