"""One video of a batch: its source, its path relative to the source that was named, and its output folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from ..errors import InputError


@dataclass(frozen=True, slots=True)
class Video:
    """`source` is an absolute path, `relative` names the video (`day1/clip.mp4`), `output` its folder (`day1/clip`)."""

    source: str
    relative: str
    output: str

    @classmethod
    def make(cls, source: str, relative: str, *, is_folder: bool = False, output: str | None = None) -> Video:
        """`relative` may be absolute or contain `..`: the root is left out, and `..` is an error.

        A folder of images keeps its whole name, a file loses its suffix. `output` replaces the derived folder.
        Raises InputError.
        """
        path = _inside(relative, source)
        derived = path if is_folder else path.with_name(path.stem)
        return cls(source, str(path), str(derived if output is None else _inside(output, source)))


def _inside(relative: str, source: str) -> PurePosixPath:
    path = PurePosixPath(relative)
    path = path.relative_to(path.anchor)
    if not path.parts or ".." in path.parts:
        raise InputError(f"{source}: got {relative!r} for its output; expected a path without '..', such as day1/clip")
    return path
