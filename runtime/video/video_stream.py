"""Opening a video container with PyAV, and the choice of its video stream."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
from av.error import ExitError, FFmpegError, ProtocolNotFoundError
from av.stream import Disposition

from ..errors import InputError
from .mp4_header import codec_code
from .network import TIMEOUT_SECONDS, is_url, open_options, protocol, public_name
from .y4m import Y4mPipe

EXPECTED = "expected a video such as mp4, mkv, webm, mov or avi, a folder of images, or '-' for y4m"
SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("3gp", "avi", "flv", "h264", "h265", "hevc", "m2ts", "m4v", "mkv", "mov"),
        *("mp4", "mpeg", "mpg", "mts", "mxf", "ogv", "ts", "webm", "wmv", "y4m"),
    )
)
FALLBACK_RATE = Fraction(25)


def is_video(name: str) -> bool:
    """Whether a file name ends like a video's; hidden files are none."""
    return Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def open_container(
    name: str, y4m: Y4mPipe | None = None, *, part: tuple[int, int] | None = None
) -> av.container.InputContainer:
    """Open the file or URL `name`, or the y4m stream `y4m`; of a file, the bytes from `part[0]` to `part[1]`.

    Raises InputError.
    """
    # Titles in old files are often in Latin-1: bytes that are not UTF-8 are no reason to refuse a video.
    any_text = "surrogateescape"
    try:
        if y4m is not None:
            return av.open(y4m, "r", format="yuv4mpegpipe", metadata_errors=any_text)
        if is_url(name):
            options = open_options(name)
            return av.open(name, "r", timeout=TIMEOUT_SECONDS, metadata_errors=any_text, options=options)
        address = local(name) if part is None else f"subfile,,start,{part[0]},end,{part[1]},,:{local(name)}"
        container = av.open(address, "r", metadata_errors=any_text)
    except ProtocolNotFoundError as error:
        raise InputError(
            f"{public_name(name)}: the FFmpeg inside PyAV {av.__version__} has no protocol {protocol(name)!r}; "
            f"expected one such as http, https or rtsp. Fix: ffmpeg -i {public_name(name)} -f yuv4mpegpipe - | "
            "amc-infer -"
        ) from error
    except (FFmpegError, OSError, ValueError) as error:
        if y4m is not None:
            raise InputError(
                "standard input: the data is not a y4m stream. Fix: ffmpeg -i clip.mp4 -f yuv4mpegpipe - | …"
            ) from error
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, ExitError):  # PyAV's time-out
            reason = f"no answer within {TIMEOUT_SECONDS:g} s"
        raise InputError(f"{public_name(name)}: the video cannot be opened ({reason}); {EXPECTED}") from error
    if container.format.name == "tty":  # FFmpeg shows text files as on a terminal
        container.close()
        raise InputError(f"{name}: the file is text; {EXPECTED}")
    return container


def local(path: str | Path) -> str:
    """The name under which FFmpeg opens a local file: `cam:1.mp4` alone would be a URL of the protocol `cam`."""
    return f"file:{path}"


def choose_stream(
    name: str, container: av.container.InputContainer, number: int | None = None
) -> tuple[av.VideoStream, str | None]:
    """The video stream to read, and a note if there are others.

    `number` is its place among the video streams, from 0. None takes the one with more than one frame, with the
    default flag and with the most pixels, in this order of importance. Raises InputError.
    """
    # The cover image of a song is a video stream to the demuxer, but not a video.
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        kinds = " and ".join(sorted({stream.type for stream in container.streams if stream.type != "video"}))
        raise InputError(f"{name}: there is no video in it, only {kinds or 'an empty container'}; {EXPECTED}")
    if number is not None and not 0 <= number < len(streams):
        raise InputError(f"{name}: got video stream {number}, expected 0 to {len(streams) - 1}")
    candidates = streams if number is None else [streams[number]]
    decodable = [stream for stream in candidates if stream.codec_context is not None]
    if not decodable:
        codec = codec_code(Path(name)) or "of an unknown name"
        raise InputError(
            f"{name}: the video's codec {codec} is not supported by the FFmpeg inside PyAV; encode it anew, "
            "e.g. with H.264: ffmpeg -i … -c:v libx264 clip.mp4"
        )
    chosen = max(decodable, key=_preference)  # the first of equals
    if len(streams) == 1 or is_animated_avif(container):  # its further streams are a still image and the alpha
        return chosen, None
    listed = ", ".join(f"{place} ({_described(stream)})" for place, stream in enumerate(streams))
    return chosen, (
        f"{name}: {len(streams)} video streams: {listed}; stream {streams.index(chosen)} is read. "
        "Fix: choose another with --video-stream N"
    )


def is_animated_avif(container: av.container.InputContainer) -> bool:
    return bool(container.metadata.get("major_brand") == "avis")


def frame_rate(stream: av.VideoStream) -> Fraction | None:
    """The nominal rate. FFmpeg's guess is the better one (30000/1001 where the mean of a short clip is 72000/2401; a
    raw stream has no mean at all, only a default of 25), but with a variable rate it is the clock's tick. A guess of
    about twice the mean is the rate of fields: each frame of the video has two."""
    mean, guess = stream.average_rate, stream.guessed_rate
    if not mean:
        return None
    has_times = stream.start_time is not None
    return mean if not guess or (has_times and guess > mean * Fraction(3, 2)) else guess


def tag_text(value: str) -> str:
    """A metadata value of `open_container` as text: UTF-8, or else Latin-1, which old AVI and WMV files have."""
    stored = value.encode("utf-8", "surrogateescape").strip(b"\0 ")
    try:
        return stored.decode("utf-8")
    except UnicodeDecodeError:
        return stored.decode("latin-1")


def seconds_in_tag(tag: str | None) -> Fraction | None:
    """Matroska's DURATION, "00:00:10.333000000"."""
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", tag or "")
    if match is None:
        return None
    hours, minutes, seconds = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)


def _preference(stream: av.VideoStream) -> tuple[bool, bool, int]:
    context = stream.codec_context
    default = bool(stream.disposition & Disposition.default)
    return not _is_still(stream), default, context.width * context.height


def _is_still(stream: av.VideoStream) -> bool:
    if stream.frames:
        return stream.frames == 1
    seconds = seconds_in_tag(stream.metadata.get("DURATION"))
    if seconds is None:
        return not stream.average_rate  # FFmpeg found no second frame
    return seconds * (stream.average_rate or 25) < Fraction(3, 2)


def _described(stream: av.VideoStream) -> str:
    context = stream.codec_context
    return f"{context.name} {context.width}x{context.height}" if context is not None else "unknown codec"
