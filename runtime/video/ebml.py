"""Elements of EBML, the encoding of Matroska and WebM (RFC 8794)."""

from __future__ import annotations

HEADER, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675


def ebml_element(head: bytes) -> tuple[int, int, int | None]:
    """The identifier of the element that begins with `head` (12 bytes), how many bytes its own header has, and the
    length of its content; None for "unknown". (0, 0, None) if the header is not whole.
    """
    identifier, id_bytes = _number(head, keep_marker=True)
    length, length_bytes = _number(head[id_bytes:])
    if id_bytes == 0 or length_bytes == 0:
        return 0, 0, None
    unknown = length == (1 << 7 * length_bytes) - 1
    return identifier, id_bytes + length_bytes, None if unknown else length


def _number(head: bytes, *, keep_marker: bool = False) -> tuple[int, int]:
    """A number and how many bytes it has; (0, 0) if it is not whole."""
    length = 9 - head[0].bit_length() if head and head[0] else 0
    if length == 0 or len(head) < length:
        return 0, 0
    number = int.from_bytes(head[:length], "big")
    return number if keep_marker else number & ((1 << 7 * length) - 1), length
