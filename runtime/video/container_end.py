"""Detection of files that end inside a unit of their container, for formats whose header does not give a length."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from .ebml import CLUSTER, SEGMENT, ebml_element
from .stream_end import asf_cut, dv_cut, mxf_cut, obu_cut, program_stream_cut
from .y4m import y4m_ends_inside_frame


def ends_inside_unit(path: Path, format_name: str) -> bool:
    """Whether the file at `path`, which FFmpeg reads as `format_name`, ends inside a frame, packet, box or chunk.

    Only headers are read: a seek for each top-level element. False for formats that are not known here.
    """
    check = _CHECKS.get(format_name)
    if check is None or not path.is_file():
        return False
    size = path.stat().st_size
    with path.open("rb") as file:
        return check(file, size)


def _mp4(file: BinaryIO, size: int) -> bool:
    position, kind = 0, b""
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length == 0:  # to the end of the file
            return False
        if length < 8 or not header[4:8].isalnum():
            return False  # padding or damage, which has no end to miss
        position, kind = position + length, header[4:8]
    return position > size or kind == b"moof"  # whose samples are in the mdat behind it


def _riff(file: BinaryIO, size: int) -> bool:
    """AVI with its OpenDML parts, and WebP."""
    position = 0
    while position + 12 <= size:
        file.seek(position)
        header = file.read(8)
        length = int.from_bytes(header[4:], "little")
        if header[:4] != b"RIFF" or length in (0, 0xFFFFFFFF):  # 0 is written to pipes
            return position == 0 and _avi_chunks_cut(file, size)
        position += 8 + length + length % 2
    return position > size + 1


def _avi_chunks_cut(file: BinaryIO, size: int) -> bool:
    position = 12
    while position + 8 <= size:
        file.seek(position)
        header = file.read(12)
        length = int.from_bytes(header[4:8], "little")
        if header[:4] == b"LIST" and header[8:12] == b"movi":
            position += 12  # its own length may be missing too
        elif not header[:4].isascii() or header[:4] == bytes(4):
            return False
        else:
            position += 8 + length + length % 2
    return position > size + 1 or 0 < size - position < 8


def _ends_with(*ends: bytes) -> Callable[[BinaryIO, int], bool]:
    def check(file: BinaryIO, size: int) -> bool:
        file.seek(max(0, size - 64))
        return not file.read().rstrip(b"\0").endswith(ends)  # some programs fill up with zeros

    return check


def _ogg(file: BinaryIO, size: int) -> bool:
    """Whether the last page is not whole; the page is found among the last 128 KiB, twice the longest."""
    file.seek(max(0, size - (128 << 10)))
    tail = file.read()
    begin = tail.rfind(b"OggS")
    if begin < 0:
        return False
    header = tail[begin : begin + 27]
    segments = tail[begin + 27 : begin + 27 + header[26]] if len(header) == 27 else b""
    if len(header) < 27 or len(segments) < header[26] or begin + 27 + len(segments) + sum(segments) > len(tail):
        return True
    return not header[5] & 4  # the flag "end of stream", which the last page of every stream has


def _matroska(file: BinaryIO, size: int) -> bool:
    position = 0
    while position < size:
        file.seek(position)
        head = file.read(12)
        identifier, header_bytes, length = ebml_element(head)
        if header_bytes == 0:
            return len(head) < 12
        position += header_bytes
        if length is None and identifier not in (SEGMENT, CLUSTER):
            return False
        position += length or 0
        if identifier == SEGMENT and length is not None:
            return position > size
    return position > size


def _mpegts(file: BinaryIO, size: int) -> bool:
    head = file.read(188 * 12)
    for length in (188, 192, 204):
        offset = 4 if length == 192 else 0
        if len(head) > 3 * length and all(head[offset + length * n] == 0x47 for n in range(3)):
            return size % length != 0
    return False


def _flv(file: BinaryIO, size: int) -> bool:
    """Each tag is followed by its own length, and most headers have the size of the file."""
    declared = re.search(rb"filesize\0(.{8})", file.read(4096), re.DOTALL)
    if declared and struct.unpack(">d", declared[1])[0] > size:
        return True
    if size < 13 + 11 + 4:
        return True
    file.seek(-4, os.SEEK_END)
    tag = int.from_bytes(file.read(4), "big")
    if not 11 <= tag <= size - 17:
        return True
    file.seek(size - 4 - tag + 1)
    return int.from_bytes(file.read(3), "big") + 11 != tag


def _ivf(file: BinaryIO, size: int) -> bool:
    position = 32
    while position + 12 <= size:
        file.seek(position)
        position += 12 + int.from_bytes(file.read(4), "little")
    return position != size


_CHECKS: dict[str, Callable[[BinaryIO, int], bool]] = {
    "mov,mp4,m4a,3gp,3g2,mj2": _mp4,
    "avi": _riff,
    "webp": _riff,
    "yuv4mpegpipe": y4m_ends_inside_frame,
    "gif": _ends_with(b"\x3b"),
    "apng": _ends_with(bytes.fromhex("0000000049454e44ae426082")),  # the IEND chunk
    "ogg": _ogg,
    "matroska,webm": _matroska,
    "mpegts": _mpegts,
    "flv": _flv,
    "ivf": _ivf,
    "obu": obu_cut,
    "mjpeg": _ends_with(b"\xff\xd9"),  # the marker EOI
    "asf": asf_cut,
    "mxf": mxf_cut,
    "dv": dv_cut,
    "mpeg": program_stream_cut,
}
