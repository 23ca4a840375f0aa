"""Output of `amc-batch --dry-run`: the videos, with time and bytes estimated from a measured part of them."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from ..errors import AmcNetError
from ..infer import InferOptions, infer
from ..output.disk_space import free_bytes, in_units
from ..segmenter import Segmenter
from ..video.reader import FrameReader
from .batch import Batch
from .cloud import is_url
from .local_run import local_run
from .options import BatchOptions, segmenter_arguments
from .todo import Task

_LISTED = 20
_COUNTED = 50  # videos whose length is read; each is opened, which takes some 10 ms
_DOWNLOADED = 5  # the same, of videos at addresses
_MEASURED_FRAMES = 24


def dry_run(options: BatchOptions) -> Iterator[str]:
    """The lines to print. Nothing is written to the output folder. Raises the errors of `run_batch`."""
    with Batch.open(options) as batch:
        yield from _lines(batch, options)


def _lines(batch: Batch, options: BatchOptions) -> Iterator[str]:
    tasks = list(islice(batch.todo.tasks, options.limit))
    yield (
        f"{len(batch.videos)} videos: {len(tasks)} to do, {len(batch.todo.done)} done, "
        f"{len(batch.todo.failed)} failed, {len(batch.todo.tasks) - len(tasks)} beyond --limit"
    )
    for task in tasks[:_LISTED]:
        yield f"{task.video.source} -> {batch.layout.output(task.video)}"
    if len(tasks) > _LISTED:
        yield f"and {len(tasks) - _LISTED} more"
    if tasks:
        yield from _estimate(tasks, options)


def _estimate(tasks: list[Task], batch: BatchOptions) -> Iterator[str]:
    options = batch.infer
    most = _DOWNLOADED if any(is_url(task.video.source) for task in tasks) else _COUNTED
    places = np.unique(np.linspace(0, len(tasks) - 1, min(most, len(tasks))).round().astype(int))
    counted = {tasks[place].video.source: _length(options, tasks[place]) for place in places}
    lengths = {source: frames for source, frames in counted.items() if frames}
    if not lengths:
        yield f"no estimate: of {len(counted)} videos none can be read or tells its length"
        return
    frames = sum(lengths.values()) / len(counted) * len(tasks)
    measured, seconds, size = _measure(options, next(iter(lengths)))
    yield (
        f"about {frames:.0f} frames, {frames * seconds / 60:.1f} minutes and {frames * size / 2**20:.1f} MiB "
        f"(lengths of {len(counted)} videos; {1000 * seconds:.0f} ms and {size / 1000:.1f} kB a frame, measured on "
        f"{measured} frames)"
    )
    if not is_url(batch.output) and frames * size > (free := free_bytes(Path(batch.output))):
        yield f"{batch.output} has {in_units(free)} free. Fix: free some space, or write less with --write"


def _length(options: InferOptions, task: Task) -> int | None:
    try:
        with (
            local_run(dataclasses.replace(options, source=task.video.source)) as local,
            FrameReader.open(local.source, local.selection) as reader,
        ):
            return reader.info.expected_frames
    except AmcNetError:
        return None


def _measure(options: InferOptions, source: str) -> tuple[int, float, float]:
    """Frames, seconds and bytes a frame of the beginning of `source`, written to a temporary folder."""
    most = min(options.frames or _MEASURED_FRAMES, _MEASURED_FRAMES)
    with (
        tempfile.TemporaryDirectory() as folder,
        Segmenter.load(**segmenter_arguments(options)) as segmenter,
        local_run(dataclasses.replace(options, source=source, output=folder, frames=most)) as part,
    ):
        begin = time.perf_counter()
        report = infer(part, segmenter=segmenter)
        seconds = time.perf_counter() - begin
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return report["frames"], seconds / report["frames"], size / report["frames"]
