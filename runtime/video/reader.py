"""Frames of a video, of images or of a pipe, one at a time and in order of presentation."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice, takewhile
from pathlib import Path

from ..closeable import Closeable
from ..errors import InputError
from ..frame import Frame, SourceInfo
from .animated_image import AnimatedWebp, TiffPages
from .heif import is_heif, is_heif_photo
from .image_kinds import is_animated_webp, is_apng, read_head
from .image_source import ImageSource, images_in, images_matching, images_numbered, is_image
from .network import is_url
from .selection import Selection
from .tiff import frame_pages, tiff_pages
from .undecoded_frame import RawSource, UndecodedFrame
from .video_source import VideoSource
from .video_stream import EXPECTED


def open_frames(
    source: str | Path,
    *,
    start: int = 0,
    frames: int | None = None,
    stride: int = 1,
    duration: float | None = None,
    video_stream: int | None = None,
    deinterlace: str = "auto",
) -> FrameReader:
    """Open `source` and decode its first wanted frame, so that whatever cannot be read is known at once.

    `source` is a video file or URL, an image, a folder of images (natural order: `frame2` before `frame10`), a glob
    pattern (`'frames/*.png'`), a numbered one (`frames/%04d.png`), or `-` for a y4m stream on standard input. `start`
    frames are passed over, then every `stride`-th one is taken, at most `frames` of them (None: all). What is passed
    over is decoded (a video has no other way to count) but not converted. `duration` ends the frames so many seconds
    after the first one, in the time of the source: for a camera, for example. A URL (http, https, rtsp) is opened by
    FFmpeg; after 30 s without data it counts as ended, and a live stream that breaks off is opened again.

    `video_stream` is the place of a video's stream among its video streams, from 0; None takes the one with more than
    one frame, the default flag and the most pixels. `deinterlace` is "auto" (frames that are marked as interlaced),
    "yes" or "no".

    Raises InputError if the source is missing, empty, not readable, or holds no frame at `start`.

        with open_frames("clip.mp4", start=100, frames=50) as reader:
            for frame in reader:
                frame.pixels, frame.pts_seconds  # (H, W, 3) uint8 RGB, seconds
    """
    selection = Selection(
        start=start,
        frames=frames,
        stride=stride,
        duration=duration,
        video_stream=video_stream,
        deinterlace=deinterlace,
    )
    return FrameReader.open(source, selection)


class FrameReader(Closeable, Iterator[Frame]):
    """An iterator of `Frame`, and a context manager that closes the source. Made by `open_frames` and `open`.

    `info` describes the source, `selection` which of its frames are read. A frame is held until the next one only.
    """

    def __init__(self, raw: RawSource, selection: Selection) -> None:
        self.selection = selection
        start, frames, stride = selection.start, selection.frames, selection.stride
        self._raw = raw
        self._index = 0
        every = raw.frames()
        passed_over = sum(1 for _ in islice(every, start))
        wanted = islice(every, 0, None if frames is None else (frames - 1) * stride + 1, stride)
        self._wanted = _within(selection.duration, raw.info.time_base, wanted)
        first = next(self._wanted, None)
        if first is None:
            raise InputError(f"{raw.info.name}: start {start} is beyond the end; there are {passed_over} frames")
        whole = raw.info.expected_frames
        expected = None if whole is None else max(1, -(-(whole - start) // stride))
        if expected is not None and frames is not None:
            expected = min(expected, frames)
        if selection.duration is not None and raw.info.frame_rate:
            within = max(1, math.ceil(_exact(selection.duration) * raw.info.frame_rate / stride))
            expected = within if expected is None else min(expected, within)
        names = raw.info.names[start::stride][:frames]
        self.info: SourceInfo = dataclasses.replace(raw.info, expected_frames=expected, names=names)
        self._first_frame: Frame | None = self._to_frame(first)

    @classmethod
    def open(cls, source: str | Path, selection: Selection) -> FrameReader:
        """As `open_frames`, with its arguments in one value. Raises InputError."""
        raw = _open_source(source, selection)
        try:
            return cls(raw, selection)
        except BaseException:
            raw.close()
            raise

    @property
    def truncated(self) -> str | None:
        """What of the source was lost so far and after how many frames, in one sentence; None if nothing was."""
        return self._raw.truncated

    @property
    def notes(self) -> list[str]:
        """A sentence for everything that a person should know about the source as far as it was read."""
        return self._raw.notes

    def close(self) -> None:
        """Close the file; further frames do not come. Closing twice is allowed."""
        self._wanted = islice(self._wanted, 0)
        self._first_frame = None
        self._raw.close()

    def __next__(self) -> Frame:
        first, self._first_frame = self._first_frame, None
        return first if first is not None else self._to_frame(next(self._wanted))

    def skip(self) -> None:
        """Pass over the next frame: it is decoded but not converted. Raises StopIteration behind the last one."""
        if self._first_frame is not None:
            self._first_frame = None
        else:
            next(self._wanted)
            self._index += 1

    def _to_frame(self, raw: UndecodedFrame) -> Frame:
        pts_seconds = float(raw.pts * self._raw.info.time_base)
        frame = Frame(
            pixels=raw.to_rgb(),
            index=self._index,
            pts=raw.pts,
            pts_seconds=pts_seconds,
            duration=raw.duration,
        )
        self._index += 1
        return frame


def _within(duration: float | None, time_base: Fraction, frames: Iterator[UndecodedFrame]) -> Iterator[UndecodedFrame]:
    """The frames that begin less than `duration` seconds after the first."""
    if duration is None:
        return frames
    first, end = next(frames, None), _exact(duration)
    if first is None:
        return iter(())
    return chain([first], takewhile(lambda raw: (raw.pts - first.pts) * time_base < end, frames))


def _exact(seconds: float) -> Fraction:
    """0.4 as 2/5: its floating-point number is a little more, which would be a frame more."""
    return Fraction(seconds).limit_denominator(1_000_000)


def _open_source(source: str | Path, selection: Selection) -> RawSource:
    name, path = str(source), Path(source)
    open_video = functools.partial(VideoSource, video_stream=selection.video_stream, deinterlace=selection.deinterlace)
    if not name:
        raise InputError(f"the source is an empty string; {EXPECTED}")
    if name == "-":
        if sys.stdin.isatty():
            raise InputError(
                "standard input: nothing is piped in; expected a y4m stream, or name a file instead of '-'"
            )
        return open_video("standard input", y4m=sys.stdin.buffer)
    if is_url(name):
        return open_video(name)
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:  # a name that is too long, or has a NUL
        raise InputError(f"{name}: the file cannot be opened ({error}); {EXPECTED}") from error
    if is_folder:
        return ImageSource(name, images_in(path), folder=path)
    if not exists:
        if any(wildcard in name for wildcard in "*?["):
            return ImageSource(name, images_matching(name))
        if re.search(r"%\d*d", name):
            return ImageSource(name, images_numbered(name))
        raise InputError(f"{name}: there is no such file or folder; {EXPECTED}")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{name}: the file is empty (0 bytes); {EXPECTED}")
    try:
        head = read_head(path)
    except OSError as error:
        raise InputError(f"{name}: the file cannot be opened ({error.strerror}); {EXPECTED}") from error
    if is_heif_photo(head):
        return ImageSource(name, [path])
    if not is_image(path) or is_heif(head):
        return open_video(name)
    if is_apng(head) or head.startswith(b"GIF8"):
        return open_video(name)
    if is_animated_webp(head):
        return AnimatedWebp(name, path)
    pages = tiff_pages(path)
    return TiffPages(name, path, pages) if len(frame_pages(pages)) > 1 else ImageSource(name, [path])
