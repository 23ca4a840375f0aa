"""Names in the output folder of `amc-batch`: outputs, status files and summaries, each distinct from all others."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import InputError
from .cloud import download_existing, is_url, upload
from .shard import Shard
from .video import Video

_STATUS = "status"
_LONGEST_NAME = 255 - len(".") - len(".json.4194304.part")  # bytes: what atomic writing adds to a file's name


@dataclass(frozen=True)
class Layout:
    """OUT/<output>/ holds what `amc-infer` writes, OUT/status/<relative>.json the state, OUT/summary.* all states.

    Each shard has a summary of its own. If OUT is an address, `url` is that, and `folder` has a copy of the status
    files and summaries on this machine; each one that changes is to be published.
    """

    folder: Path
    shard: Shard | None = None
    url: str | None = None

    @classmethod
    @contextmanager
    def open(cls, output: str | Path, shard: Shard | None) -> Iterator[Layout]:
        """The layout of OUT; an address gets a temporary folder."""
        if not is_url(output):
            yield cls(Path(output), shard)
            return
        with tempfile.TemporaryDirectory(prefix="amc-batch-") as folder:
            yield cls(Path(folder), shard, str(output).rstrip("/"))

    @property
    def name(self) -> str:
        return self.url or str(self.folder)

    def output(self, video: Video) -> str | Path:
        return f"{self.url}/{video.output}" if self.url else self.folder / video.output

    def fetch_status(self, videos: Sequence[Video]) -> None:
        """Copy the status files of `videos` from an address to `folder`. Raises OutputError."""
        if self.url:
            names = [self.status(video).relative_to(self.status_folder).as_posix() for video in videos]
            download_existing(f"{self.url}/{_STATUS}", self.status_folder, names)

    def publish(self, path: Path) -> str:
        """Copy a file of `folder` to the address, if there is one; return where it is now. Raises OutputError."""
        if not self.url:
            return str(path)
        published = f"{self.url}/{path.relative_to(self.folder).as_posix()}"
        upload(path, published)
        return published

    def status(self, video: Video) -> Path:
        return self.folder / _STATUS / f"{video.relative}.json"

    @property
    def status_folder(self) -> Path:
        return self.folder / _STATUS

    @property
    def lock(self) -> Path:
        return self.folder / f".lock{self._part}"

    def summary(self, suffix: str) -> Path:
        return self.folder / f"summary{self._part}.{suffix}"

    @property
    def _part(self) -> str:
        return f".{self.shard.index}-of-{self.shard.count}" if self.shard else ""


def require_distinct(videos: Sequence[Video]) -> None:
    """Raises InputError where two videos are one, or where an output would lie in the way of another one's files."""
    sources: set[str] = set()
    outputs: dict[str, Video] = {}
    for video in videos:
        if video.source in sources:
            raise InputError(f"{video.source}: the video is listed twice; expected each video once")
        sources.add(video.source)
        other = outputs.setdefault(video.output, video)
        if other is not video:
            raise InputError(
                f"{other.source} and {video.source} have the same output {video.output}; expected one each. Fix: name "
                "the folder that holds both, rename one, or use two output folders"
            )
    relatives: dict[str, Video] = {}
    for video in videos:
        other = relatives.setdefault(video.relative, video)
        if other is not video:  # of a list that gives two outputs to one relative path
            raise InputError(
                f"{other.source} and {video.source} are both named {video.relative}; expected different names"
            )
        _require_own_place(video, outputs)


def _require_own_place(video: Video, outputs: dict[str, Video]) -> None:
    path = PurePosixPath(video.output)
    if path.parts[0] == _STATUS or path.parts[0].startswith("summary."):
        raise InputError(
            f"{video.source}: its output would be {video.output}, a name that amc-batch uses itself; expected another. "
            "Fix: rename the video, or give its output in a list of JSON lines"
        )
    for above in path.parents[:-1]:
        if (other := outputs.get(str(above))) is not None:
            raise InputError(
                f"{video.source}: its output {video.output} lies inside that of {other.source}; expected one beside "
                "the other. Fix: rename one, or use two output folders"
            )
    for name in (*path.parts, *PurePosixPath(video.relative).parts):
        if len(os.fsencode(name)) > _LONGEST_NAME:
            raise InputError(
                f"{video.source}: {name!r} has {len(os.fsencode(name))} bytes; expected at most {_LONGEST_NAME}. "
                "Fix: rename it"
            )
