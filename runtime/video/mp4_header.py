"""Properties in the header of an MP4 file that PyAV does not expose: the reasons why a file cannot be read."""

from __future__ import annotations

import re
from pathlib import Path


def encryption_scheme(path: Path) -> str | None:
    """The MP4 protection scheme that the file declares ("cenc", "cbcs"), None if it declares none."""
    match = re.search(rb"schm.{4}(cenc|cens|cbc1|cbcs|piff)", _both_ends(path), re.DOTALL)
    return match.group(1).decode() if match else None


def codec_code(path: Path) -> str | None:
    """The four-letter code of an MP4's first video codec: PyAV names only those that it can decode."""
    if not path.is_file():
        return None
    boxes = re.search(rb"vmhd.*?stsd.{12}(\w{4})", _both_ends(path), re.DOTALL)
    return f"'{boxes.group(1).decode()}'" if boxes else None


def _both_ends(path: Path, length: int = 1 << 20) -> bytes:
    """The first and the last MiB: the header of an MP4 lies at either end."""
    with path.open("rb") as file:
        head = file.read(length)
        file.seek(max(len(head), path.stat().st_size - length))
        return head + file.read(length)


def dolby_vision_profile(path: Path) -> int | None:
    """The profile of a Dolby Vision video whose base layer is not compatible with HDR10, HLG or SDR; None for others.

    From the DOVI configuration record, which MP4 and Matroska files have in their header (Dolby Vision Streams Within
    the ISO Base Media File Format, section 3.2).
    """
    # MP4: the box itself; Matroska: BlockAddIDType, then BlockAddIDExtraData (0x41ED) with the record.
    match = re.search(rb"dv[cvw]C(?:\x41\xed.)?[\x01\x02].(..)(.)", _both_ends(path), re.DOTALL)
    if match is None:
        return None
    profile, compatible_with = match.group(1)[0] >> 1, match.group(2)[0] >> 4
    return profile if compatible_with == 0 and profile not in (4, 7) else None
