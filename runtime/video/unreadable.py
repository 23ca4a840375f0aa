"""Reasons why a video cannot be read, from its header."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from .mp4_header import dolby_vision_profile, encryption_scheme
from .video_stream import EXPECTED

_RAW = frozenset({".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".srw"})


def require_readable(name: str, path: Path) -> None:
    """Raises InputError for files that FFmpeg would read wrongly: Dolby Vision alone, and what is no video."""
    if not path.is_file() or not os.access(path, os.R_OK):
        return
    for kind, fix in _no_video(path):
        raise InputError(f"{name}: got {kind}; {EXPECTED}. Fix: {fix}")
    profile = dolby_vision_profile(path)
    if profile is not None:
        raise InputError(
            f"{name}: got Dolby Vision profile {profile}, whose base layer has colors of its own; expected "
            "SDR, HDR10 or HLG. Fix: convert it to HDR10 or SDR first, e.g. ffmpeg -i … -vf libplacebo clip.mp4"
        )


def _no_video(path: Path) -> Iterator[tuple[str, str]]:
    """What the file is and how to make images of it, if FFmpeg cannot read it or reads a thumbnail only."""
    with path.open("rb") as file:
        head = file.read(1024)
    if path.suffix.lower() in _RAW:
        yield "a camera's raw image", "develop it to JPEG, PNG or TIFF first"
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        yield "a JPEG XL image", "djxl image.jxl image.png"
    if head.startswith(b"%PDF-"):
        yield "a PDF document", "pdftoppm -png document.pdf page"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml")) and b"<svg" in text:
        yield "an SVG drawing", "rsvg-convert drawing.svg -o drawing.png"
    if text.startswith((b"<!doctype html", b"<html")):
        yield "a web page, perhaps the error page of a download", "download the file again"


def why_nothing_decodes(path: Path | None, codec: str, *, damaged: bool) -> str:
    """For a video of which no frame was decoded; damaged: whether a packet or the container had a fault."""
    scheme = encryption_scheme(path) if path else None
    if scheme:
        return f"the video is encrypted ({scheme}); expected one without DRM: decrypt it first"
    if not damaged:
        return f"its header announces {codec} video, but it has no frame of it; {EXPECTED}"
    return f"no frame of its {codec} video could be decoded: damaged or encrypted; {EXPECTED}"
