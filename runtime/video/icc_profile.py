"""The name of an image's ICC profile, for a note: colors are read as sRGB."""

from __future__ import annotations

import re
import zlib
from contextlib import suppress


def wide_profile(head: bytes) -> str | None:
    """The description of the RGB profile in `head`, the beginning of an image file; None for sRGB and for no profile.

    ICC.1:2010, sections 7.2 (header), 7.3 (tag table) and 9.2.41 (description). PNG compresses the profile.
    """
    compressed = re.search(rb"iCCP[^\0]{1,79}\0\0", head)
    if head.startswith(b"\x89PNG") and compressed:
        with suppress(zlib.error):
            head = zlib.decompressobj().decompress(head[compressed.end() :], 1 << 20)
    signature = head.find(b"acsp")
    if signature < 36:
        return None
    profile = head[signature - 36 :]
    if profile[16:20] != b"RGB ":
        return None
    name = _description(profile)
    return None if "srgb" in name.lower() else name


def _description(profile: bytes) -> str:
    def number(place: int) -> int:
        return int.from_bytes(profile[place : place + 4], "big")

    for entry in range(132, 132 + 12 * min(number(128), 100), 12):
        if profile[entry : entry + 4] == b"desc":
            at = number(entry + 4)
            if profile[at : at + 4] == b"mluc":
                length, place = number(at + 20), at + number(at + 24)
                return profile[place : place + length].decode("utf-16-be", "replace").strip("\0 ")
            return profile[at + 12 : at + 11 + number(at + 8)].decode("latin-1").strip("\0 ")
    return "an unnamed profile"
