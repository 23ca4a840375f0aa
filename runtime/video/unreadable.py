"""Reasons why a video cannot be read, from its header."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import InputError
from .mp4_header import dolby_vision_profile, encryption_scheme, is_tiled_heif
from .video_stream import EXPECTED


def require_readable(name: str, path: Path) -> None:
    """Raises InputError for files that FFmpeg would read wrongly: Dolby Vision alone, and photos made of tiles."""
    if not path.is_file() or not os.access(path, os.R_OK):
        return
    profile = dolby_vision_profile(path)
    if profile is not None:
        raise InputError(
            f"{name}: got Dolby Vision profile {profile}, whose base layer has colors of its own; expected "
            "SDR, HDR10 or HLG. Fix: convert it to HDR10 or SDR first, e.g. ffmpeg -i … -vf libplacebo clip.mp4"
        )
    if is_tiled_heif(path):
        raise InputError(
            f"{name}: got a HEIF photo (HEIC, AVIF) made of tiles, which PyAV gives as separate images; expected one "
            "piece. Fix: heif-convert photo.heic photo.png"
        )


def why_nothing_decodes(path: Path | None, codec: str, *, damaged: bool) -> str:
    """For a video of which no frame was decoded; damaged: whether a packet or the container had a fault."""
    scheme = encryption_scheme(path) if path else None
    if scheme:
        return f"the video is encrypted ({scheme}); expected one without DRM: decrypt it first"
    if not damaged:
        return f"its header announces {codec} video, but it has no frame of it; {EXPECTED}"
    return f"no frame of its {codec} video could be decoded: damaged or encrypted; {EXPECTED}"
