"""Write down what becomes of each video: its status file, the progress, and the failures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ..infer import InferOptions
from .layout import Layout
from .options import BatchOptions
from .progress import BatchProgress
from .status import DONE, FAILED, RUNNING, Status
from .todo import Task
from .worker import Finished


class Recorder:
    """The observer of the scheduler. `done` counts, `failed` has relative paths and messages.

    `after_video` is called after each video that is done or has failed for good.
    """

    def __init__(
        self, options: BatchOptions, layout: Layout, progress: BatchProgress, after_video: Callable[[], None]
    ) -> None:
        self.done = 0
        self.failed_videos: list[tuple[str, str]] = []
        self._options, self._layout, self._progress, self._after_video = options, layout, progress, after_video
        self._tries: dict[str, int] = {}  # in this run
        self._began: set[str] = set()  # videos whose output folder now holds their own run

    def begin(self, task: Task) -> InferOptions:
        self._tries[task.video.relative] = self._tries.get(task.video.relative, 0) + 1
        self._write(task, RUNNING)
        replaces = self._replaces(task)
        return dataclasses.replace(
            self._options.infer,
            source=task.video.source,
            output=self._layout.output(task.video),
            resume=not replaces,
            overwrite=replaces,
        )

    def frames(self, task: Task, done: int, expected: int | None) -> None:
        if self._replaces(task):
            self._began.add(task.video.relative)
            self._write(task, RUNNING)
        self._progress.frames(task.video, done, expected)

    def finished(self, task: Task, result: Finished) -> None:
        self.done += 1
        self._began.add(task.video.relative)
        self._write(
            task,
            DONE,
            frames=result.frames,
            seconds=result.seconds,
            notes=result.notes,
            images=result.images,
        )
        self._progress.finished(task.video, result.frames)
        self._after_video()

    def failed(self, task: Task, message: str) -> Task | None:
        relative = task.video.relative
        if self._tries[relative] <= self._options.retries:
            self._progress.failed(task.video, f"{message}; it will be tried again")
            return task
        self.failed_videos.append((relative, message))
        self._write(task, FAILED, message=message)
        self._progress.failed(task.video, message, for_good=True)
        self._after_video()
        return None

    def returned(self, task: Task) -> None:
        self._tries[task.video.relative] -= 1

    def _replaces(self, task: Task) -> bool:
        return task.replaces and task.video.relative not in self._began

    def _write(self, task: Task, state: str, **values: object) -> None:
        video = task.video
        status = Status(
            state=state,
            key=task.key,
            source=video.source,
            output=video.output,
            attempts=task.attempts + self._tries[video.relative],
            replaces=self._replaces(task),
        )
        path = self._layout.status(video)
        dataclasses.replace(status, **values).write(path)  # type: ignore[arg-type]
        self._layout.publish(path)
