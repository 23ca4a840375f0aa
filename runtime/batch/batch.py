"""Sources to outputs: find the videos, choose those to be done, segment them in processes, write the summary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ..files.atomic import make_folder
from ..files.folder_lock import locked_folder
from ..infer import InferOptions
from .default_jobs import default_jobs
from .layout import Layout, require_distinct
from .options import BatchOptions, settings_sha256
from .progress import BatchProgress
from .ray_workers import RayWorkers, open_cluster
from .recorder import Recorder
from .scheduler import Scheduler
from .sources import find_videos
from .status import remove_unfinished
from .summary import Summary
from .todo import Todo, choose
from .video import Video
from .worker import Segment, segment_video
from .worker_pool import WorkerPool
from .worker_process import LocalWorkers


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """`done` now, `earlier` by runs before; `failed` are relative paths and messages, old failures too.

    `left` were not begun because of `limit`. `files` are the summaries.
    """

    done: int
    earlier: int
    failed: list[tuple[str, str]] = field(default_factory=list)
    left: int = 0
    files: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Batch:
    """The videos of a batch (of its shard, if it has one) and what is to be done with them."""

    videos: Sequence[Video]
    layout: Layout
    todo: Todo

    @classmethod
    @contextmanager
    def open(cls, options: BatchOptions) -> Iterator[Batch]:
        """Check everything and write nothing to the output.

        Raises InputError, OutputError or the errors of `Segmenter.load`.
        """
        settings = settings_sha256(options.infer)
        videos = find_videos(options.sources, options.output, image_folders=options.image_folders)
        require_distinct(videos)
        if options.shard is not None:
            videos = [video for video in videos if options.shard.has(video)]
        with Layout.open(options.output, options.shard) as layout:
            layout.fetch_status(videos)
            yield cls(videos, layout, choose(videos, layout, options, settings))


def run_batch(
    options: BatchOptions,
    progress: BatchProgress | None = None,
    check: Callable[[], None] = lambda: None,
    *,
    segment: Segment = segment_video,
) -> BatchResult:
    """Segment all videos that are not done yet; a video that fails ends no other.

    `check` is called several times a second and may raise KeyboardInterrupt, which leaves the videos in hand
    resumable. `segment` is called for each video in a process that imports it by its name. Raises InputError,
    OutputError, BackendError and the other errors of `Segmenter.load`, most of them before anything is written.
    """
    with Batch.open(options) as batch, locked_folder(batch.layout.lock):
        return _run(batch, options, progress or BatchProgress(), check, segment)


def _run(
    batch: Batch, options: BatchOptions, progress: BatchProgress, check: Callable[[], None], segment: Segment
) -> BatchResult:
    layout, todo = batch.layout, batch.todo
    tasks = list(islice(todo.tasks, options.limit))
    with _open_pool(options, segment) if tasks else nullcontext() as pool:  # may fail: before anything is written
        make_folder(layout.status_folder)
        remove_unfinished(layout.status_folder, {str(layout.status(video)) for video in batch.videos})
        summary = Summary(batch.videos, layout)
        summary.remove_unfinished()
        progress.begin(len(tasks), len(todo.done), len(todo.failed))
        recorder = Recorder(options, layout, progress, summary.write_now_and_then)
        try:
            if pool is not None:
                Scheduler(recorder, pool, timeout=options.timeout).run(tasks, check)
        finally:
            files = summary.write()
    return BatchResult(
        done=recorder.done,
        earlier=len(todo.done),
        failed=[(video.relative, message) for video, message in todo.failed] + recorder.failed_videos,
        left=len(todo.tasks) - len(tasks),
        files=files,
    )


@contextmanager
def _open_pool(options: BatchOptions, segment: Segment) -> Iterator[WorkerPool[Any]]:
    on_gpu = _on_gpu(options.infer)
    if options.ray is None:
        yield LocalWorkers(options.infer, jobs=options.jobs or default_jobs(on_gpu=on_gpu), segment=segment)
        return
    with open_cluster(options.ray):
        yield RayWorkers(options.infer, jobs=options.jobs, on_gpu=on_gpu, segment=segment)


def _on_gpu(options: InferOptions) -> bool:
    return options.device == "cuda" or options.engine is not None
