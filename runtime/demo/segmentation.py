"""The segmentation of a visitor's video: limits, progress, cancellation, and the files to download."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from ..errors import InputError
from ..frame import SourceInfo
from ..infer import InferOptions, infer
from ..video.reader import open_frames
from .offered_models import OfferedModels
from .options import DemoOptions
from .visitors import Visitor

_PROGRESS_EVERY_SECONDS = 0.5

Progress = Callable[[int, int | None, float | None], None]
"""Called with the frames done, the number of all and the seconds left, the latter two None if unknown."""


class CancelledError(Exception):
    """The visitor cancelled the run, or left."""


@dataclass(frozen=True)
class Results:
    """`files` to download, in the order of the outputs, and the `report` of the run (run.json)."""

    files: list[Path]
    report: dict[str, Any]


def segment(
    video: Path,
    model: str,
    outputs: Sequence[str],
    *,
    visitor: Visitor,
    models: OfferedModels,
    options: DemoOptions,
    progress: Progress,
) -> Results:
    """Segment `video` into the folder of `visitor`.

    outputs: kinds of output, see `KINDS`. Raises InputError for a video that is too long or cannot be read, the other
    errors of `infer`, and CancelledError.
    """
    if not outputs:
        raise InputError("no output is selected; expected one or more. Fix: select masks and overlay")
    with visitor.run() as folder:
        with open_frames(video) as reader:
            _require_length(video, reader.info.expected_frames or 0, options)
        begin: tuple[float, int] | None = None  # at the first frame: loading is no progress
        latest = 0.0

        def after_frame(info: SourceInfo, done: int) -> None:
            nonlocal begin, latest
            if visitor.cancelled.is_set():
                raise CancelledError
            _require_length(video, done, options)
            now = monotonic()
            begin = begin or (now, done)
            if now - latest >= _PROGRESS_EVERY_SECONDS:
                latest = now
                progress(done, info.expected_frames, _seconds_left(info, done, now - begin[0], done - begin[1]))

        with models.loaded(model) as segmenter:
            if visitor.cancelled.is_set():
                raise CancelledError
            wanted = InferOptions(source=video, output=folder / "run", write=tuple(outputs))
            report = infer(wanted, after_frame, segmenter=segmenter)
        return Results(_files(folder, video.stem, report), report)


def _require_length(video: Path, frames: int, options: DemoOptions) -> None:
    if frames > options.max_frames:
        raise InputError(
            f"{video.name} has {frames} frames or more; expected at most {options.max_frames}. Fix: cut the video"
        )


def _seconds_left(info: SourceInfo, done: int, seconds: float, frames: int) -> float | None:
    if info.expected_frames is None or frames == 0:
        return None
    return max(info.expected_frames - done, 0) * seconds / frames


def _files(folder: Path, stem: str, report: dict[str, Any]) -> list[Path]:
    """The outputs under names for the download: a file as it is, a folder of images as ZIP."""
    files = []
    for output in report["outputs"].values():
        path = folder / "run" / output["path"]
        target = folder / f"{stem}-{path.name}{'.zip' if path.is_dir() else ''}"
        if path.is_dir():
            with zipfile.ZipFile(target, "w") as archive:  # stored: PNG is compressed
                for image in sorted(path.iterdir()):
                    archive.write(image, image.name)
        else:
            path.rename(target)
        files.append(target)
    shutil.rmtree(folder / "run")
    return files
