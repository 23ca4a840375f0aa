"""HEIF photos (HEIC, AVIF): one coded image, or a grid of tiles, upright.

FFmpeg opens each coded image of such a file as a video stream; which of them make the photo is read here from the boxes
of ISO/IEC 14496-12 (section 8.11) and ISO/IEC 23008-12.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from ..errors import InputError
from .to_rgb import ToRgb
from .video_stream import local

_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"avif"})
_CODED = (b"hvc1", b"av01", b"avc1", b"j2k1", b"jpeg")
_MAX_META_BYTES = 16 << 20


@dataclass
class _Item:
    """One image of the file: its type, its tiles in reading order, and its properties."""

    kind: bytes = b""
    tiles: list[int] = field(default_factory=list)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    location: tuple[int, int, int] = (0, 0, 0)  # construction method, offset, length


def is_heif(head: bytes) -> bool:
    """Whether a file that begins with `head` is HEIF or another file of the family of MP4."""
    return head[4:8] == b"ftyp"


def is_heif_photo(head: bytes) -> bool:
    """Whether a file that begins with `head` is a HEIF photo; image sequences (`avis`, `hevc`) are videos."""
    return is_heif(head) and head[8:12] in _BRANDS


def read_heif(path: Path) -> NDArray[np.uint8]:
    """The main photo of the file as (H, W, 3) uint8 RGB, upright. Raises InputError."""
    try:
        main, items, idat = _items(path)
        item = items[main]
        if item.kind == b"grid":
            rgb = _grid(path, item, _stored(path, item, idat))
        elif item.kind in _CODED:
            rgb = _decoded(path, [main])[0]
        else:
            raise InputError(
                f"{path}: got a HEIF photo of the kind {item.kind.decode('latin-1')!r}, expected one coded image or a "
                "grid of tiles. Fix: heif-convert photo.heic photo.png"
            )
        return np.ascontiguousarray(_upright(rgb, item.properties))
    except (KeyError, IndexError, ValueError, struct.error, StopIteration, FFmpegError) as error:
        raise InputError(f"{path}: the HEIF photo cannot be decoded: damaged or cut short; save it anew") from error


def _grid(path: Path, item: _Item, stored: bytes) -> NDArray[np.uint8]:
    """ISO/IEC 23008-12, section 6.6.2.3: tiles of one size, row by row, cut to the size of the photo."""
    rows, columns = stored[2] + 1, stored[3] + 1
    width, height = struct.unpack_from(">II" if stored[1] & 1 else ">HH", stored, 4)
    tiles = _decoded(path, item.tiles[: rows * columns])
    whole = [np.concatenate(tiles[row * columns : (row + 1) * columns], axis=1) for row in range(rows)]
    return np.concatenate(whole, axis=0)[:height, :width]


def _decoded(path: Path, numbers: list[int]) -> list[NDArray[np.uint8]]:
    """The coded images `numbers` of the file, as they are stored."""
    with av.open(local(path), metadata_errors="surrogateescape") as container:
        streams = {stream.id: stream for stream in container.streams.video}
        wanted = {streams[number].index: number for number in numbers}
        rgb: dict[int, NDArray[np.uint8]] = {}
        for packet in container.demux([streams[number] for number in dict.fromkeys(numbers)]):
            for frame in packet.decode():
                number = wanted[packet.stream.index]
                if isinstance(frame, av.VideoFrame):
                    to_rgb = ToRgb(str(path), streams[number].codec_context)
                    rgb.setdefault(number, to_rgb.stored(frame, is_photo=True))
        return [rgb[number] for number in numbers]


def _upright(rgb: NDArray[np.uint8], properties: list[tuple[bytes, bytes]]) -> NDArray[np.uint8]:
    """`irot` turns counterclockwise in steps of 90 degrees, `imir` mirrors; in the order in which they are listed."""
    for kind, content in properties:
        if kind == b"irot":
            rgb = np.rot90(rgb, content[0] & 3)
        elif kind == b"imir":
            rgb = rgb[:, ::-1] if content[0] & 1 else rgb[::-1]
    return rgb


def _items(path: Path) -> tuple[int, dict[int, _Item], bytes]:
    """The number of the main item, all items, and the content of the `idat` box."""
    meta = dict(_boxes(_meta(path)[4:]))
    items: dict[int, _Item] = {}
    information = meta[b"iinf"]
    for _, entry in _boxes(information[6 if information[0] == 0 else 8 :]):
        number, after = _number(entry, 4, wide=entry[0] >= 3)
        items[number] = _Item(kind=entry[after + 2 : after + 6])
    references = meta.get(b"iref", b"\0\0\0\0")
    for kind, content in _boxes(references[4:]):
        number, after = _number(content, 0, wide=references[0] == 1)
        count, after = _number(content, after, wide=False)
        for _ in range(count):
            tile, after = _number(content, after, wide=references[0] == 1)
            if kind == b"dimg":
                items[number].tiles.append(tile)
    _read_properties(meta[b"iprp"], items)
    _read_locations(meta[b"iloc"], items)
    main, _ = _number(meta[b"pitm"], 4, wide=meta[b"pitm"][0] != 0)
    return main, items, meta.get(b"idat", b"")


def _read_properties(iprp: bytes, items: dict[int, _Item]) -> None:
    boxes = dict(_boxes(iprp))
    properties, associations = list(_boxes(boxes[b"ipco"])), boxes[b"ipma"]
    wide_numbers, wide_places = associations[0] >= 1, associations[3] & 1
    count, after = _number(associations, 4, wide=True)
    for _ in range(count):
        number, after = _number(associations, after, wide=wide_numbers)
        for _ in range(associations[after]):
            place = associations[after + 1] & 0x7F
            if wide_places:
                after += 1
                place = place << 8 | associations[after + 1]
            after += 1
            if place:
                items[number].properties.append(properties[place - 1])
        after += 1


def _read_locations(iloc: bytes, items: dict[int, _Item]) -> None:
    """The first extent of each item; ISO/IEC 14496-12, section 8.11.3."""
    version = iloc[0]
    sizes = [iloc[4] >> 4, iloc[4] & 15, iloc[5] >> 4, iloc[5] & 15 if version else 0]
    count, after = _number(iloc, 6, wide=version == 2)
    for _ in range(count):
        number, after = _number(iloc, after, wide=version == 2)
        method = iloc[after + 1] & 15 if version else 0
        after += 4 if version else 2
        base, after = _sized(iloc, after, sizes[2])
        extents, after = _number(iloc, after, wide=False)
        for extent in range(extents):
            after += sizes[3]
            offset, after = _sized(iloc, after, sizes[0])
            length, after = _sized(iloc, after, sizes[1])
            if extent == 0 and number in items:
                items[number].location = (method, base + offset, length)


def _stored(path: Path, item: _Item, idat: bytes) -> bytes:
    method, offset, length = item.location
    if method == 1:
        return idat[offset : offset + length]
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _meta(path: Path) -> bytes:
    with path.open("rb") as file:
        while header := file.read(8):
            length, kind = struct.unpack(">I4s", header)
            if kind == b"meta" and 8 < length < _MAX_META_BYTES:
                return file.read(length - 8)
            file.seek(max(length, 8) - 8, 1)
    raise ValueError("no meta box")


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes in `content`, as their types and contents."""
    place = 0
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        length = length or len(content) - place
        if length < 8:
            raise ValueError("a box is shorter than its header")
        yield kind, content[place + 8 : place + length]
        place += length


def _number(content: bytes, place: int, *, wide: bool) -> tuple[int, int]:
    """The number of 2 or, if `wide`, 4 bytes at `place`, and the place behind it."""
    return _sized(content, place, 4 if wide else 2)


def _sized(content: bytes, place: int, size: int) -> tuple[int, int]:
    if place + size > len(content):
        raise ValueError("the box is cut short")
    return int.from_bytes(content[place : place + size], "big"), place + size
