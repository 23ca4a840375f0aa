"""Detection of FLV, MP4 and WMV files that were joined byte by byte."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")  # the GUID that an ASF file begins with


def second_recording(path: Path, format_name: str) -> int | None:
    """The byte at which a second FLV, MP4 or WMV file begins in the file at `path`: files joined byte by byte, of which
    FFmpeg reads the first. None for a single one and for other formats.
    """
    find = {"flv": _second_flv, "mov,mp4,m4a,3gp,3g2,mj2": _second_mp4, "asf": _second_asf}.get(format_name)
    if find is None or not path.is_file():
        return None
    with path.open("rb") as file:
        return find(file, path.stat().st_size)


def _second_flv(file: BinaryIO, size: int) -> int | None:
    position = 13
    while position + 11 <= size:
        file.seek(position)
        tag = file.read(4)
        if tag == b"FLV\x01":
            return position
        position += 11 + int.from_bytes(tag[1:], "big") + 4
    return None


def _second_mp4(file: BinaryIO, size: int) -> int | None:
    position, seen = 0, set()
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if kind == b"ftyp" and b"moov" in seen:
            return position
        seen.add(kind)
        position += int.from_bytes(header[8:], "big") if length == 1 else length
        if length < 8 and length != 1:
            break
    return None


def _second_asf(file: BinaryIO, size: int) -> int | None:
    position = 0
    while position + 24 <= size:
        file.seek(position)
        header = file.read(24)
        if position and header.startswith(_ASF_HEADER):
            return position
        position += max(24, int.from_bytes(header[16:], "little"))
    return None
