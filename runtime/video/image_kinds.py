"""Detection of images with several frames: APNG, animated WebP, TIFF with several pages."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def has_several_frames(path: Path) -> bool:
    """Whether the image at `path` is an APNG, an animated WebP, or a TIFF with several pages of its first one's size.

    Raises OSError.
    """
    with path.open("rb") as file:
        head = file.read(64 << 10)
    pages = tiff_pages(path)
    return is_apng(head) or is_animated_webp(head) or pages.count(pages[0] if pages else (0, 0)) > 1


def is_apng(head: bytes) -> bool:
    """Whether a PNG that begins with `head` is animated: its acTL chunk comes before the image data."""
    return head.startswith(b"\x89PNG") and b"acTL" in head.partition(b"IDAT")[0]


def is_animated_webp(head: bytes) -> bool:
    """Whether a WebP that begins with `head` is animated: a flag in its extended header."""
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & 2)


def tiff_pages(path: Path) -> list[tuple[int, int]]:
    """The sizes (W, H) of the pages of the TIFF at `path`, as far as its directories are whole; [] for another file."""
    with path.open("rb") as file:
        head = file.read(16)
        order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"

        def number(length: int) -> int:
            return int.from_bytes(file.read(length), order)

        version = int.from_bytes(head[2:4], order)
        if head[:2] not in (b"II", b"MM") or version not in (42, 43):
            return []
        big = version == 43
        offset = int.from_bytes(head[8:16] if big else head[4:8], order)
        sizes: list[tuple[int, int]] = []
        seen = set()
        while offset and offset not in seen:
            seen.add(offset)
            file.seek(offset)
            tags = {}
            for _ in range(number(8 if big else 2)):
                tag, kind, _count = number(2), number(2), number(8 if big else 4)
                value = file.read(8 if big else 4)
                if len(value) < 4:
                    return sizes
                tags[tag] = int.from_bytes(value[: 2 if kind == 3 else 4], order)
            sizes.append((tags.get(256, 0), tags.get(257, 0)))
            offset = number(8 if big else 4)
    return sizes
