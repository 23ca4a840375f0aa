"""Detection of files that end inside a unit, for streams and formats that are read packet by packet.

Each function takes the file and its size in bytes. Raw H.264 and HEVC have no such check: their units have no lengths.
"""

from __future__ import annotations

from typing import BinaryIO

_PACK, _PROGRAM_END = b"\0\0\1\xba", 0xB9  # start codes of MPEG-PS


def obu_cut(file: BinaryIO, size: int) -> bool:
    """AV1, "low overhead bitstream format" (section 5.2 of the specification)."""
    position = 0
    while position < size:
        file.seek(position)
        head = file.read(12)
        if not head[0] & 2:  # without a size
            return False
        begin = 2 if head[0] & 4 else 1
        length, following = _leb128(head, begin)
        if following == 0:
            return True
        position += following + length
    return position > size


def _leb128(data: bytes, begin: int) -> tuple[int, int]:
    """A number in LEB128 and where it ends; (0, 0) if it is not whole."""
    number = 0
    for place, byte in enumerate(data[begin : begin + 8]):
        number |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return number, begin + place + 1
    return 0, 0


def asf_cut(file: BinaryIO, size: int) -> bool:
    """ASF and WMV: objects, each a GUID and its length."""
    position = 0
    while position < size:
        file.seek(position)
        header = file.read(24)
        length = int.from_bytes(header[16:], "little")
        if len(header) == 24 and length < 24:  # a live recording has no length
            return False
        position += max(length, 24)
    return position > size


def mxf_cut(file: BinaryIO, size: int) -> bool:
    """MXF: a key, a length in BER and the value (SMPTE ST 336)."""
    position = 0
    while position < size:
        file.seek(position)
        head = file.read(25)
        if not head.startswith(b"\x06\x0e\x2b\x34"[: len(head)]):
            return False
        if len(head) < 25:
            return True
        several = head[16] & 0x7F if head[16] & 0x80 else 0
        length = int.from_bytes(head[17 : 17 + several], "big") if several else head[16]
        position += 17 + several + length
    return position > size


def dv_cut(file: BinaryIO, size: int) -> bool:
    """Raw DV: frames of one length, 625 or 525 lines."""
    head = file.read(4)
    return len(head) == 4 and size % (144_000 if head[3] & 0x80 else 120_000) != 0


def program_stream_cut(file: BinaryIO, size: int) -> bool:
    """MPEG-PS: the packets behind the last pack header."""
    file.seek(max(0, size - (128 << 10)))
    tail = file.read()
    position = tail.rfind(_PACK)
    if position < 0:
        return False
    while position < len(tail):
        head = tail[position : position + 14]
        if not head.startswith(b"\0\0\1"[: len(head)]) or not head.strip(b"\0"):
            return False
        if len(head) < 6:
            return len(head) < 4 or head[3] != _PROGRAM_END
        if head.startswith(_PACK):
            position += 14 + (head[13] & 7) if head[4] >> 6 == 1 and len(head) == 14 else 12
        elif head[3] > _PROGRAM_END:
            length = int.from_bytes(head[4:6], "big")
            if length == 0:
                return False
            position += 6 + length
        else:
            return False
    return position > len(tail)
