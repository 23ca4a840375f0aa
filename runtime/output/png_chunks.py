"""The parts of a PNG file around its compressed pixels."""

from __future__ import annotations

import struct
import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _INDEXED = 0, 3


def png_file(zlib_stream: bytes, *, width: int, height: int, palette: bytes | None = None) -> bytes:
    """A PNG file of 8-bit gray, or of indices into `palette` (3 bytes RGB a color).

    `zlib_stream` holds the rows, each behind the number of its filter.
    """
    color_type = _GRAY if palette is None else _INDEXED
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)}  # 8 bits, not interlaced
    if palette is not None:
        chunks[b"PLTE"] = palette
    chunks |= {b"IDAT": zlib_stream, b"IEND": b""}
    return _SIGNATURE + b"".join(_chunk(name, data) for name, data in chunks.items())


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
