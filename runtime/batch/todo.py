"""Choose the videos that have to be segmented, by what an earlier run of the batch has left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import OutputError
from .layout import Layout
from .options import BatchOptions
from .status import DONE, FAILED, Key, Status
from .video import Video


@dataclass(frozen=True)
class Task:
    """A video to segment. `replaces`: what its output folder holds is not resumed. `attempts` are those so far."""

    video: Video
    key: Key
    replaces: bool
    attempts: int


@dataclass
class Todo:
    """`tasks` are to be done, `done` were done before, `failed` failed before (with their message) and stay so."""

    tasks: list[Task] = field(default_factory=list)
    done: list[Video] = field(default_factory=list)
    failed: list[tuple[Video, str]] = field(default_factory=list)


def choose(videos: Sequence[Video], layout: Layout, options: BatchOptions, settings_sha256: str) -> Todo:
    """Compare each video with its status file; nothing is written.

    Done with the same settings and source: passed over. Failed with them: passed over unless `retry_failed`. Begun
    with them: resumed. Another source: done anew. `overwrite`: all are done anew. Raises OutputError where a result
    has other settings, and `overwrite` is not given.
    """
    todo, other_settings = Todo(), []
    for video in videos:
        key = Key.of(video.source, settings_sha256)
        status = Status.read(layout.status(video))
        if status is None or options.overwrite:
            todo.tasks.append(Task(video, key, replaces=options.overwrite, attempts=0))
            continue
        same = status.key == key
        if status.state != FAILED and status.key.settings_sha256 != settings_sha256:
            other_settings.append(video)
        elif same and status.state == DONE:
            todo.done.append(video)
        elif same and status.state == FAILED and not options.retry_failed:
            todo.failed.append((video, status.message))
        else:
            replaces = status.replaces or not same or status.source != video.source
            todo.tasks.append(Task(video, key, replaces, attempts=status.attempts if same else 0))
    if other_settings:
        raise OutputError(
            f"{layout.name} holds {len(other_settings)} results with other settings, the first of them "
            f"{other_settings[0].output}; expected the settings of the earlier run. Fix: use the same options, replace "
            "them by --overwrite, or choose another folder with -o"
        )
    return todo
