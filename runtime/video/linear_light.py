"""Images in linear light, OpenEXR and Radiance HDR, as 8-bit sRGB."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from ..errors import InputError
from .video_stream import local

_MAGIC = (b"\x76\x2f\x31\x01", b"#?RADIANCE", b"#?RGBE")


def is_linear(head: bytes) -> bool:
    """Whether a file that begins with `head` is OpenEXR or Radiance HDR."""
    return head.startswith(_MAGIC)


def read_linear(path: Path) -> NDArray[np.uint8]:
    """The image as (H, W, 3) uint8 RGB, coded as in IEC 61966-2-1; light above 1 becomes white. Raises InputError."""
    try:
        with av.open(local(path), metadata_errors="surrogateescape") as container:
            stored = next(container.decode(video=0)).reformat(format="gbrpf32le").to_ndarray()  # (H, W, 3), RGB
    except (FFmpegError, StopIteration, IndexError, ValueError) as error:
        raise InputError(
            f"{path}: the image cannot be decoded: damaged, or of a kind that FFmpeg does not have. "
            "Fix: save it anew, as PNG for example"
        ) from error
    light = np.clip(np.nan_to_num(stored, nan=0), 0, 1)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(255 * coded), np.uint8)
