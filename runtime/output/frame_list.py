"""The files that masks are written to, and the list that maps them to the frames of the source."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from ..errors import InputError
from ..frame import SourceInfo
from .mask_files import index_name

NAMES = ("index", "source")
_LONGEST_IN_REPORT = 1000  # frames; the list of more goes to frames.csv


def mask_names(info: SourceInfo, names: str) -> Callable[[int], str]:
    """The name of the mask of each frame: "index" gives 00000.png, 00001.png and so on, "source" the name of its image.

    With "source", f1.jpg becomes f1.png, or f1.jpg.png where two images differ in their suffix only; a video has no
    names, and its masks are numbered. Raises InputError where images of the same name come from several folders.
    """
    if names not in NAMES:
        raise InputError(f"names: got {names!r}, expected {' or '.join(NAMES)}")
    if names == "index" or not info.names:
        return index_name
    images = [PurePath(name) for name in info.names]
    for listed in ([f"{image.stem}.png" for image in images], [f"{image.name}.png" for image in images]):
        if len(set(map(str.lower, listed))) == len(listed):
            return listed.__getitem__
    twice = Counter(image.name for image in images).most_common(1)[0][0]
    raise InputError(f"{info.name}: several images are named {twice}, expected different names. Fix: --names index")


@dataclass(kw_only=True)
class FrameList:
    """Collects the mask, the source (an image, or the number of a video's frame) and the time of each frame."""

    info: SourceInfo
    name: Callable[[int], str]
    start: int = 0
    stride: int = 1
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, index: int, pts_seconds: float) -> None:
        source = self.info.names[index] if self.info.names else self.start + index * self.stride
        self.rows.append({"mask": self.name(index), "source": source, "seconds": round(pts_seconds, 6)})

    @property
    def is_long(self) -> bool:
        return len(self.rows) > _LONGEST_IN_REPORT

    def report(self) -> dict[str, Any]:
        """What run.json has of it: the rows, or the file that has them."""
        return {"frame_list": "frames.csv" if self.is_long else self.rows}

    def csv(self) -> str:
        """The rows as CSV with a header."""
        text = io.StringIO()
        writer = csv.DictWriter(text, ["mask", "source", "seconds"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()
