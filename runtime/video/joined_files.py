"""The recordings of files that were joined byte by byte, of which FFmpeg reads the first only."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from .ebml import CLUSTER, HEADER, SEGMENT, ebml_element

_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")  # the GUID that an ASF file begins with


def recordings(path: Path, format_name: str) -> list[tuple[int, int]]:
    """Where each recording in the file at `path` begins and ends: several in FLV, MP4, Matroska and WMV files that were
    joined byte by byte, one in all others.

    Only headers are read: a seek for each top-level element.
    """
    size = path.stat().st_size
    find = _BEGINS.get(format_name)
    if find is None:
        return [(0, size)]
    with path.open("rb") as file:
        return list(pairwise([*find(file, size), size])) or [(0, size)]


def _flv(file: BinaryIO, size: int) -> Iterator[int]:
    yield 0
    declared = file.read(4096).partition(b"filesize\0")[2][:8]
    if len(declared) == 8 and struct.unpack(">d", declared)[0] == size:
        return
    position = 13
    while position + 13 <= size:
        file.seek(position)
        tag = file.read(4)
        if tag == b"FLV\x01":
            yield position
            position += 13
        else:
            position += 11 + int.from_bytes(tag[1:], "big") + 4


def _mp4(file: BinaryIO, size: int) -> Iterator[int]:
    yield 0
    position = 0
    seen: set[bytes] = set()
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if length < 8 and length != 1:
            return
        if kind == b"ftyp" and b"moov" in seen:
            yield position
            seen.clear()
        seen.add(kind)
        position += int.from_bytes(header[8:], "big") if length == 1 else length


def _asf(file: BinaryIO, size: int) -> Iterator[int]:
    position = 0
    while position + 24 <= size:
        file.seek(position)
        header = file.read(24)
        if header.startswith(_ASF_HEADER):
            yield position
        position += max(24, int.from_bytes(header[16:], "little"))


def _matroska(file: BinaryIO, size: int) -> Iterator[int]:
    position = 0
    while position < size:
        file.seek(position)
        identifier, header_bytes, length = ebml_element(file.read(12))
        if header_bytes == 0 or (length is None and identifier not in (SEGMENT, CLUSTER)):
            return
        if identifier == HEADER:
            yield position
        position += header_bytes + (length or 0)


_BEGINS = {"flv": _flv, "mov,mp4,m4a,3gp,3g2,mj2": _mp4, "asf": _asf, "matroska,webm": _matroska}
