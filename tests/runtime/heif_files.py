"""HEIF photos made of tiles, put together from photos of one coded image each."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def tiled_avif(rgb: NDArray[np.uint8], tile: int, *, turns: int = 0) -> bytes:
    """An AVIF photo of `rgb` in tiles of `tile` x `tile` px, to be shown turned counterclockwise by `turns` x 90°."""
    height, width = rgb.shape[:2]
    rows, columns = -(-height // tile), -(-width // tile)
    padded = np.pad(rgb, ((0, rows * tile - height), (0, columns * tile - width), (0, 0)), mode="edge")
    coded = []
    for row in range(rows):
        for column in range(columns):
            part = padded[row * tile :, column * tile :][:tile, :tile]
            stored = io.BytesIO()
            Image.fromarray(np.ascontiguousarray(part)).save(stored, "avif", quality=90, subsampling="4:4:4")
            coded.append(stored.getvalue())
    return grid(coded, rows, columns, (width, height), turns)


def grid(coded: list[bytes], rows: int, columns: int, size: tuple[int, int], turns: int = 0) -> bytes:
    """One photo of the single-image files `coded`, tile by tile, cut to `size` (W, H)."""
    count = len(coded)
    meta = dict(_boxes(dict(_boxes(coded[0]))[b"meta"][4:]))
    kind = next(content for _, content in _boxes(meta[b"iinf"][6:]))[8:12]
    # The properties of the first tile hold for all, then the size and the rotation of the whole.
    shared = list(_boxes(dict(_boxes(meta[b"iprp"]))[b"ipco"]))
    own = len(shared)
    properties = [_box(kind, content) for kind, content in shared]
    properties += [_box(b"ispe", struct.pack(">III", 0, *size)), _box(b"irot", bytes([turns]))]
    essential = 0x80
    places = bytes(place | essential * (kind in (b"av1C", b"hvcC")) for place, (kind, _) in enumerate(shared, 1))
    placed = [struct.pack(">HB", number, own) + places for number in range(1, count + 1)]
    placed.append(struct.pack(">HB", count + 1, 2) + bytes([own + 1, own + 2 | essential]))
    entries = [struct.pack(">IHH4sx", 2 << 24, number, 0, kind) for number in range(1, count + 1)]
    entries.append(struct.pack(">IHH4sx", 2 << 24, count + 1, 0, b"grid"))
    data = [dict(_boxes(each))[b"mdat"] for each in coded]
    layout = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, *size)

    def file(first: int) -> tuple[bytes, int]:
        places, at = b"", first
        for number, each in enumerate(data, 1):
            places += struct.pack(">HHHHII", number, 0, 0, 1, at, len(each))
            at += len(each)
        places += struct.pack(">HHHHII", count + 1, 1, 0, 1, 0, len(layout))
        content = [
            _box(b"hdlr", struct.pack(">II4s12xx", 0, 0, b"pict")),
            _box(b"pitm", struct.pack(">IH", 0, count + 1)),
            _box(b"iinf", struct.pack(">IH", 0, count + 1) + b"".join(_box(b"infe", entry) for entry in entries)),
            _box(b"iloc", struct.pack(">IBBH", 1 << 24, 0x44, 0, count + 1) + places),
            _box(
                b"iref",
                bytes(4) + _box(b"dimg", struct.pack(f">HH{count}H", count + 1, count, *range(1, count + 1))),
            ),
            _box(
                b"iprp",
                _box(b"ipco", b"".join(properties))
                + _box(b"ipma", struct.pack(">II", 0, count + 1) + b"".join(placed)),
            ),
            _box(b"idat", layout),
        ]
        brands = coded[0][8 : struct.unpack_from(">I", coded[0])[0]]
        head = _box(b"ftyp", brands) + _box(b"meta", bytes(4) + b"".join(content))
        return head + _box(b"mdat", b"".join(data)), len(head) + 8

    _, first = file(0)
    return file(first)[0]


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        length = length or len(content) - place
        yield kind, content[place + 8 : place + length]
        place += length
