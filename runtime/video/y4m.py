"""The end of y4m streams: files, and pipes, which cannot be read twice."""

from __future__ import annotations

import re
from typing import BinaryIO

import av


def y4m_ends_inside_frame(file: BinaryIO, size: int) -> bool:
    """Whether the y4m `file` of `size` bytes ends inside a frame."""
    fields = file.readline(1024).decode("ascii", "replace").split()
    frame = _y4m_frame_bytes(fields)
    position = file.tell()
    while frame and position < size:
        file.seek(position)
        header = file.readline(1024)
        if not header.startswith(b"FRAME") and not b"FRAME".startswith(header[:5]):
            return False
        position = file.tell() + frame if header.endswith(b"\n") else size + 1
    return position > size


class Y4mPipe:
    """A y4m stream that cannot be read twice, with a count of its bytes."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._begin = b""
        self._size = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the stream, at most `size`."""
        data = self._pipe.read(size)
        self._size += len(data)
        if len(self._begin) < 1024:
            self._begin += data[:1024]
        return data

    def ends_inside_frame(self) -> bool:
        """Whether the bytes read so far are not a whole number of frames."""
        header = self._begin.partition(b"\n")[0]
        frame = _y4m_frame_bytes(header.decode("ascii", "replace").split())
        return frame > 0 and (self._size - len(header) - 1) % (frame + len(b"FRAME\n")) != 0


def _y4m_frame_bytes(fields: list[str]) -> int:
    values = {field[0]: field[1:] for field in fields[1:]}
    kind = values.get("C", "420jpeg")
    try:
        layout = "gray" if kind.startswith("mono") else f"yuv{kind[:3]}p"
        planes = av.VideoFormat(layout, int(values["W"]), int(values["H"])).components
    except (KeyError, ValueError):
        return 0
    samples = sum(plane.width * plane.height for plane in planes)
    if kind.endswith("alpha"):
        samples += planes[0].width * planes[0].height
    deep = re.search(r"(p|mono)\d+$", kind) is not None  # 420p10, mono16; not 420mpeg2
    return samples * (2 if deep else 1)
