"""Side data of decoded frames."""

from __future__ import annotations

import av
from av.sidedata.sidedata import SideData


def side_data(frame: av.VideoFrame, name: str) -> bytes | None:
    """The side data `name` of `frame`, such as "DISPLAYMATRIX"; None if there is none or PyAV cannot list it.

    PyAV lists all side data at once and raises ValueError for a kind that it does not know, such as EXIF.
    """
    try:
        found = frame.side_data.get(name)
    except ValueError:
        return None
    return bytes(found) if isinstance(found, SideData) else None
