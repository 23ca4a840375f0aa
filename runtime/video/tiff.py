"""The pages of a TIFF: their sizes, and what OpenCV would read wrongly without an error.

Tags are those of TIFF 6.0, section 8; BigTIFF has the version 43 and numbers of 8 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Order = Literal["little", "big"]

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_SUBFILE, _SAMPLES, _PLANES, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 254, 277, 284, 338, 339
_LISTS, _SHORT = (_BITS, _SAMPLE_FORMAT, _EXTRA_SAMPLES), 3
_CMYK, _SEPARATE_PLANES, _SIGNED, _FLOAT = 5, 2, 2, 3
_PREMULTIPLIED_ALPHA, _STRAIGHT_ALPHA = 1, 2
_MAX_ENTRIES, _MAX_FILE_BYTES = 1 << 16, 1 << 40  # of a damaged file
_COMPRESSIONS = {  # that the OpenCV of PyPI decodes
    1: "none", 2: "CCITT", 3: "CCITT 3", 4: "CCITT 4", 5: "LZW", 6: "JPEG", 7: "JPEG", 8: "Deflate", 32771: "none",
    32773: "PackBits", 32946: "Deflate", 34676: "LogLuv", 34677: "LogLuv",
}  # fmt: skip
_OTHER_COMPRESSIONS = {
    34712: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG", 34925: "LZMA", 34933: "PNG", 34934: "JPEG XR",
    50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TiffPage:
    """One page: its size (W, H) in px, whether it is a thumbnail or a mask of another page, and its coding.

    `extra_sample_place` is where the file has the kind of the first extra sample.
    """

    size: tuple[int, int]
    is_secondary: bool = False
    bits: int = 1
    compression: int = 1
    photometric: int = 1
    samples: int = 1
    planes: int = 1
    sample_format: int = 1
    extra_sample: int | None = None
    extra_sample_place: int | None = None

    @property
    def is_signed(self) -> bool:
        return self.sample_format == _SIGNED


def tiff_pages(path: Path) -> list[TiffPage]:
    """The pages of the TIFF at `path`, as far as its directories are whole; [] for another file. Raises OSError."""
    with path.open("rb") as file:
        return _pages(file)


def frame_pages(pages: list[TiffPage]) -> list[int]:
    """The places of the pages that are frames of a sequence: of the first one's size, and no thumbnails or masks."""
    return [place for place, page in enumerate(pages) if page.size == pages[0].size and not page.is_secondary]


def require_supported(path: Path, page: TiffPage) -> None:
    """Raises InputError for a page that OpenCV cannot decode, or decodes wrongly."""
    reason = None
    if page.compression not in _COMPRESSIONS:
        got = _OTHER_COMPRESSIONS.get(page.compression, f"of the number {page.compression}")
        reason = f"compression {got}, expected none, LZW, Deflate, PackBits, JPEG or CCITT"
    elif page.sample_format == _FLOAT and page.bits < 32:
        reason = f"{page.bits}-bit floating point, expected 32 or 64 bits"
    elif page.sample_format == _FLOAT and page.planes == _SEPARATE_PLANES and page.samples > 1:
        reason = "floating point with a plane for each channel, expected the channels of a pixel side by side"
    elif page.photometric == _CMYK and page.bits != 8:
        reason = f"CMYK of {page.bits} bits, expected 8"
    elif page.samples > 4:
        reason = f"{page.samples} channels, expected 1 to 4"
    elif page.sample_format > 4:
        reason = "complex numbers, expected integers or floating point"
    if reason is not None:
        raise InputError(f"{path}: got a TIFF with {reason}. Fix: save the image as an 8- or 16-bit RGB TIFF or PNG")


def with_stored_colors(stored: NDArray[np.uint8], page: TiffPage) -> NDArray[np.uint8]:
    """`stored`, the file, or a copy of it with its alpha declared as premultiplied, which libtiff leaves alone.

    libtiff multiplies colors by straight alpha: transparent pixels would be black.
    """
    if page.extra_sample != _STRAIGHT_ALPHA or page.extra_sample_place is None:
        return stored
    changed = stored.copy()
    order: Order = "little" if stored[0] == ord("I") else "big"
    kind = _PREMULTIPLIED_ALPHA.to_bytes(2, order)
    changed[page.extra_sample_place : page.extra_sample_place + 2] = np.frombuffer(kind, np.uint8)
    return changed


def _pages(file: BinaryIO) -> list[TiffPage]:
    head = file.read(16)
    order: Order = "little" if head[:2] == b"II" else "big"
    version = int.from_bytes(head[2:4], order)
    if head[:2] not in (b"II", b"MM") or version not in (42, 43):
        return []
    wide = 8 if version == 43 else 4
    offset = int.from_bytes(head[wide : 2 * wide], order)
    pages: list[TiffPage] = []
    seen = set()
    while offset and offset not in seen:
        seen.add(offset)
        directory = _directory(file, offset, order, wide)
        if directory is None:
            break
        page, offset = directory
        pages.append(page)
    return pages


def _directory(file: BinaryIO, offset: int, order: Order, wide: int) -> tuple[TiffPage, int] | None:
    """The page whose directory is at `offset`, and the place of the next one; None if the file ends before.

    `wide` is the size of counts and offsets in bytes.
    """

    def number(stored: bytes) -> int:
        return int.from_bytes(stored, order)

    def read(place: int, length: int) -> bytes:
        file.seek(min(place, _MAX_FILE_BYTES))
        return file.read(length)

    head, length = 2 if wide == 4 else 8, 4 + 2 * wide
    entries = read(offset, head + min(number(read(offset, head)), _MAX_ENTRIES) * length)[head:]
    following = file.read(wide)
    if len(following) < wide:
        return None
    tags: dict[int, int] = {}
    places: dict[int, int] = {}
    for start in range(0, len(entries), length):
        entry = entries[start : start + length]
        tag, size = number(entry[:2]), 2 if number(entry[2:4]) == _SHORT else 4
        places[tag] = offset + head + start + 4 + wide
        tags[tag] = number(entry[4 + wide :][:size])
        if tag in _LISTS and number(entry[4 : 4 + wide]) * size > wide:  # the list is elsewhere; its first value
            places[tag] = number(entry[4 + wide :])
            tags[tag] = number(read(places[tag], size))
    page = TiffPage(
        size=(tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0)),
        is_secondary=tags.get(_SUBFILE, 0) & 0b101 != 0,
        bits=tags.get(_BITS, 1),
        compression=tags.get(_COMPRESSION, 1),
        photometric=tags.get(_PHOTOMETRIC, 1),
        samples=tags.get(_SAMPLES, 1),
        planes=tags.get(_PLANES, 1),
        sample_format=tags.get(_SAMPLE_FORMAT, 1),
        extra_sample=tags.get(_EXTRA_SAMPLES),
        extra_sample_place=places.get(_EXTRA_SAMPLES),
    )
    return page, number(following)
