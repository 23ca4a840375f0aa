"""A run of `amc-infer` as its folder records it: run.json, the list of frames, and the files of the masks."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import av

from ..errors import InputError

_PLAYED_BY_BROWSERS = {".mp4": "video/mp4", ".webm": "video/webm"}


@dataclass(frozen=True)
class RecordedRun:
    """The run in `folder`; `report` is its run.json, `masks` the file of each frame, `seconds` the time of each.

    run = RecordedRun.read(Path("video-amcnet"))
    run.seconds[-1], run.masks[-1], run.video
    """

    folder: Path
    report: dict[str, Any]
    masks: list[Path]
    seconds: list[float]

    @classmethod
    def read(cls, folder: Path) -> RecordedRun:
        """Raises InputError if `folder` holds no run, a run without a list of frames, or one without masks."""
        path = folder / "run.json"
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            if "frame_list" not in report:
                raise InputError(
                    f"{path} has no list of frames: the run was killed, or was made by version 0.1.0. "
                    f"Fix: amc-infer SOURCE -o {folder} --resume (or --overwrite)"
                )
            rows = report["frame_list"]
            if isinstance(rows, str):
                rows = list(csv.DictReader((folder / rows).read_text(encoding="utf-8").splitlines()))
            masks = [folder / "masks" / row["mask"] for row in rows]
            seconds = [float(row["seconds"]) for row in rows]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} cannot be read ({error!r}); expected the output folder of a run. "
                f"Fix: amc-infer VIDEO -o {folder}"
            ) from error
        if not masks or not masks[0].parent.is_dir():
            raise InputError(
                f"{folder} has no masks; expected masks/ with one file per frame. "
                f"Fix: amc-infer SOURCE -o {folder} --overwrite --write masks,overlay"
            )
        return cls(folder, report, masks, seconds)

    @cached_property
    def outputs(self) -> dict[str, Path]:
        """The outputs of the run that are there, by their names: {"masks": folder/masks, …}."""
        paths = {name: self.folder / output["path"] for name, output in self.report.get("outputs", {}).items()}
        return {name: path for name, path in paths.items() if path.exists()}

    @cached_property
    def video(self) -> Path | None:
        """The overlay, or else the first video among the outputs that browsers play."""
        videos = {name: path for name, path in self.outputs.items() if path.suffix in _PLAYED_BY_BROWSERS}
        return videos.get("overlay") or next(iter(videos.values()), None)

    @property
    def video_type(self) -> str:
        """The media type of `video`."""
        return _PLAYED_BY_BROWSERS[self.video.suffix] if self.video else ""

    def video_delay_seconds(self) -> float:
        """How much later a frame is shown in `video` than its time in `seconds`; negative if earlier.

        A run that begins in the middle of its source has a video that begins at 0. Raises InputError.
        """
        if self.video is None:
            return 0.0
        try:
            with av.open(f"file:{self.video}") as container:
                stream = container.streams.video[0]
                begin = (
                    0 if stream.start_time is None or stream.time_base is None else stream.start_time * stream.time_base
                )
        except (av.FFmpegError, OSError, IndexError) as error:
            raise InputError(f"{self.video} cannot be read: {error}. Fix: amc-infer with --overwrite") from error
        return float(begin) - self.seconds[0]

    @property
    def notes(self) -> list[str]:
        """The notes of the run, and what else a viewer must know before trusting its masks."""
        files = self.report.get("settings", {}).get("files", {}).values()
        untrained = [
            f"{file['name']} has untrained weights: the masks are meaningless" for file in files if not file["trained"]
        ]
        ended = [] if self.report.get("complete") else [f"the run ended early, after frame {len(self.masks) - 1}"]
        return [*ended, *untrained, *self.report.get("notes", [])]
