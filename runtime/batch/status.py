"""The state of one video as a JSON file: what became of it, and with which settings and source."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files.atomic import make_folder, replacing
from . import cloud
from .cloud import is_url

SCHEMA = 1
RUNNING, DONE, FAILED = "running", "done", "failed"
_UNFINISHED = re.compile(r"\.(.+)\.\d+\.part")  # as files/atomic.py names them


@dataclass(frozen=True)
class Key:
    """What a result belongs to: the settings and the source's size and time of change, None for a missing source."""

    settings_sha256: str
    source_bytes: int | None
    source_mtime_ns: int | None

    @classmethod
    def of(cls, source: str, settings_sha256: str) -> Key:
        """Of a folder, the sum of its files' sizes and the latest time."""
        if is_url(source):
            with suppress(InputError):
                return cls(settings_sha256, *cloud.stat(source))
            return cls(settings_sha256, None, None)
        try:
            if os.path.isdir(source):
                stats = [entry.stat() for entry in os.scandir(source) if entry.is_file()]
                return cls(
                    settings_sha256, sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)
                )
            stat = os.stat(source)
        except OSError:
            return cls(settings_sha256, None, None)
        return cls(settings_sha256, stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True, kw_only=True)
class Status:
    """`state` is "running", "done" or "failed". `message` is the error of a failure, `notes` are those of run.json.

    `replaces`: the output folder may hold a run of another source or other settings, which is not to be resumed.
    `images` are the masks of `mask_samples`.
    """

    state: str
    key: Key
    source: str
    output: str
    attempts: int
    message: str = ""
    notes: list[str] = field(default_factory=list)
    frames: int = 0
    seconds: float = 0.0
    replaces: bool = False
    images: list[dict[str, Any]] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Replace the file as a whole. Raises OutputError."""
        stored = {"schema": SCHEMA} | asdict(self)
        stored |= stored.pop("key")
        make_folder(path.parent)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(stored, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Status | None:
        """None where there is no file, or one that this version does not understand."""
        try:
            stored = json.loads(path.read_bytes())
            if stored["schema"] != SCHEMA:
                return None
            key = Key(**{each.name: stored[each.name] for each in fields(Key)})
            return cls(key=key, **{each.name: stored[each.name] for each in fields(cls) if each.name != "key"})
        except (OSError, ValueError, KeyError, TypeError):
            return None


def remove_unfinished(folder: Path, own: set[str]) -> None:
    """Remove what writing a status file in `folder` left when the process was killed; only of the paths in `own`."""
    for path, _, files in os.walk(folder):
        for name in files:
            match = _UNFINISHED.fullmatch(name)
            if match and os.path.join(path, match[1]) in own:
                Path(path, name).unlink(missing_ok=True)
