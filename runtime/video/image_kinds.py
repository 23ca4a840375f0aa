"""Detection of images with several frames: APNG, animated GIF, WebP and AVIF, TIFF with several pages."""

from __future__ import annotations

from pathlib import Path

from .heif import is_heif, is_heif_photo
from .tiff import frame_pages, tiff_pages


def read_head(path: Path) -> bytes:
    """The first 64 KiB of the file. Raises OSError."""
    with path.open("rb") as file:
        return file.read(64 << 10)


def has_several_frames(path: Path, head: bytes) -> bool:
    """Whether the image at `path` is an APNG, a GIF, WebP or AVIF of several frames, or a TIFF with several pages of
    its first one's size. `head` is that of `read_head`.

    Raises OSError.
    """
    is_sequence = is_heif(head) and not is_heif_photo(head)
    is_animated = is_apng(head) or is_animated_webp(head) or is_animated_gif(head) or is_sequence
    return is_animated or len(frame_pages(tiff_pages(path))) > 1


def is_apng(head: bytes) -> bool:
    """Whether a PNG that begins with `head` is animated: its acTL chunk comes before the image data."""
    return head.startswith(b"\x89PNG") and b"acTL" in head.partition(b"IDAT")[0]


def is_animated_webp(head: bytes) -> bool:
    """Whether a WebP that begins with `head` is animated: a flag in its extended header."""
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & 2)


def is_animated_gif(head: bytes) -> bool:
    """Whether a GIF that begins with `head` has several frames, as far as `head` goes: each has a control block."""
    return head.startswith(b"GIF8") and (head.count(b"\x21\xf9\x04") > 1 or b"NETSCAPE2.0" in head)
