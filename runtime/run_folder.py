"""The folder that `amc-infer` writes: masks/, overlay.mp4 and run.json, and whether a stopped run can go on there."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import InputError, OutputError
from ..export.atomic import make_folder, replacing
from .mask_files import finished_masks


@dataclass(frozen=True)
class RunFolder:
    """`path` and what stands where in it."""

    path: Path

    @property
    def masks(self) -> Path:
        return self.path / "masks"

    @property
    def probabilities(self) -> Path:
        return self.path / "probabilities"

    @property
    def overlay(self) -> Path:
        return self.path / "overlay.mp4"

    @property
    def report(self) -> Path:
        return self.path / "run.json"

    def begin(self, settings: dict[str, Any], *, resume: bool, overwrite: bool) -> int:
        """Make the folder ready for a run with `settings`; return how many masks of an earlier run are good.

        Raises OutputError if an earlier run is in the way and neither `resume` nor `overwrite` is given, InputError if
        the run to resume had other settings.
        """
        if resume and self.report.exists():
            self._compare(settings)
            return finished_masks(self.masks)
        if self.report.exists() or self.masks.exists():
            if not overwrite:
                raise OutputError(
                    f"{self.path} holds an earlier run; expected a new folder. Go on with it by --resume, replace it "
                    "by --overwrite, or choose another folder with -o"
                )
            for folder in (self.masks, self.probabilities):
                shutil.rmtree(folder, ignore_errors=True)
            for file in (self.overlay, self.report):
                file.unlink(missing_ok=True)
        make_folder(self.masks)
        return 0

    def write_report(self, report: dict[str, Any]) -> None:
        with replacing(self.report) as temporary:
            temporary.write_text(json.dumps(report, indent=2) + "\n")

    def _compare(self, settings: dict[str, Any]) -> None:
        try:
            earlier = json.loads(self.report.read_text())["settings"]
            differing = [key for key in settings if earlier.get(key) != settings[key]]
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise InputError(
                f"{self.report} cannot be read ({error!r}), so nothing says what to resume; start anew by --overwrite"
            ) from error
        if differing:
            key = differing[0]
            raise InputError(
                f"{self.path} was begun with {key} {earlier.get(key)!r}, now it is {settings[key]!r}; expected the "
                "same to resume. Use the same options, or start anew by --overwrite"
            )
