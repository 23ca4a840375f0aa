"""The folder that `amc-infer` writes (outputs and run.json), and the checks before a run is resumed there."""

from __future__ import annotations

import csv
import errno
import json
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, OutputError
from ..files.atomic import cannot_write, replacing
from ..files.folder_lock import locked_folder, require_unlocked
from .kinds import KINDS
from .mask_files import finished_masks, index_name

STORE = "resume"  # of the masks that a resumed run reads, where the run does not write them as an output


@dataclass(frozen=True)
class RunFolder:
    """The files in `path`; `name` gives the file name of the mask of each frame. A resumed run reads the masks in the
    folder `store`, "masks" or `STORE`.
    """

    path: Path
    name: Callable[[int], str] = index_name
    store: str = "masks"

    @property
    def stored(self) -> Path:
        return self.path / self.store

    @property
    def _folders(self) -> list[Path]:
        """The folders of images that runs write."""
        return [self.path / STORE, *(self.path / kind.path for kind in KINDS.values() if kind.is_folder)]

    @property
    def _files(self) -> list[Path]:
        """The videos and texts that runs write."""
        return [self.path / kind.path for kind in KINDS.values() if not kind.is_folder]

    @property
    def frame_list(self) -> Path:
        return self.path / "frames.csv"

    @property
    def report(self) -> Path:
        return self.path / "run.json"

    def locked(self) -> AbstractContextManager[None]:
        """Make the folder, and keep other runs out of it during the block. Raises OutputError."""
        return locked_folder(self._lock)

    @property
    def _lock(self) -> Path:
        return self.path / ".lock"

    def finished(self, settings: dict[str, Any], *, resume: bool, overwrite: bool) -> int:
        """How many masks of an earlier run are good for one with `settings`; writes nothing.

        Raises OutputError if something is in the way: a run of another process, an earlier run when neither `resume`
        nor `overwrite` is given, or results that are not from here (those are never replaced). Raises InputError if the
        run to resume had other settings or another source.
        """
        try:
            require_unlocked(self._lock)
            earlier = self.report.exists()
        except OSError as error:  # a name that is too long, a folder that must not be read
            raise cannot_write(self.path, error) from error
        if not earlier:
            for theirs in (*self._folders, *self._files):
                if theirs.exists():
                    raise OutputError(
                        f"{theirs} is in the way, and there is no {self.report.name} beside it, so it is not replaced; "
                        "expected a new folder, or one that amc-infer made. Fix: choose another with -o"
                    )
        elif resume:
            self._compare(settings)
            return finished_masks(self.stored, self.name)
        elif not overwrite and self._holds_outputs():
            raise OutputError(
                f"{self.path} holds an earlier run; expected a new folder. Fix: continue it with --resume, "
                "replace it with --overwrite, or choose another folder with -o"
            )
        return 0

    def complete_report(self, finished: int) -> dict[str, Any] | None:
        """The contents of run.json if the run is complete and its outputs are there, else None.

        That is known by `finished`, the number of good masks, and by the bytes of all outputs.
        """
        report: dict[str, Any] = json.loads(self.report.read_text()) if self.report.exists() else {}
        if not report.get("complete") or (self.store != STORE and finished < report["frames"]):
            return None
        return report if report["outputs"] == self.outputs(report["outputs"]) else None

    def outputs(self, kinds: Iterable[str]) -> dict[str, dict[str, Any]]:
        """{"masks": {"path": "masks", "bytes": 5120}, …} of those of `kinds` that are there."""
        found = {}
        for kind in kinds:
            path = self.path / KINDS[kind].path
            files = sorted(path.glob("*.png")) if KINDS[kind].is_folder else [path]
            if path.exists():
                found[kind] = {"path": KINDS[kind].path, "bytes": sum(file.stat().st_size for file in files)}
        return found

    def require_writable(self) -> None:
        """Raises OutputError where the folder cannot be made or written to, as far as that is known without writing."""
        try:
            above = next(path for path in (self.path, *self.path.absolute().parents) if path.exists())
        except OSError as error:
            raise cannot_write(self.path, error) from error
        problem = None if above.is_dir() else errno.ENOTDIR
        if problem is None and not os.access(above, os.W_OK | os.X_OK):
            problem = errno.EACCES
        if problem is not None:
            raise cannot_write(self.path, OSError(problem, os.strerror(problem)))

    def require_apart(self, source: str | Path) -> None:
        """Raises OutputError if `source` is among the outputs, which the run would replace while it reads them."""
        read = Path(source).absolute().resolve()
        written = [path.resolve() for path in (*self._folders, *self._files)]
        if any(read == path or path in read.parents for path in written):
            raise OutputError(
                f"{source} is an output of {self.path}, which this run would replace; expected a source elsewhere. "
                "Fix: choose another folder with -o"
            )

    def begin(self, report: dict[str, Any], finished: int) -> None:
        """Write `report`, and remove what an earlier run left, but for its first `finished` masks. Raises OutputError.

        To be called inside `locked`. Only what a run writes is removed, by its name.
        """
        earlier = self.listed_masks()
        self.write_report(report)
        for folder in self._folders:
            for file in folder.glob("*.png"):
                # The masks of a run that was killed are not listed: those with numbers are removed, others stay.
                numbered = file.stem.isdigit() and int(file.stem) >= finished and self.name is index_name
                if numbered or file.name in earlier[finished:]:
                    file.unlink()
        if finished == 0:
            for file in (*self._files, self.frame_list):
                file.unlink(missing_ok=True)
        for folder in (self.path, *self._folders):
            for unfinished in folder.glob(".*.part"):  # of a run that was killed
                unfinished.unlink()
        _remove_empty(self._folders)

    def remove_store(self) -> None:
        """Remove what only a resumed run reads; call it when the run is complete."""
        if self.store == STORE:
            for file in self.stored.glob("*.png"):
                file.unlink()
            _remove_empty([self.stored])

    def write_frame_list(self, text: str) -> None:
        with replacing(self.frame_list) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def _holds_outputs(self) -> bool:
        return any(any(folder.glob("*.png")) for folder in self._folders) or any(file.exists() for file in self._files)

    def listed_masks(self) -> list[str]:
        """The names of the masks in run.json, in their order; none for a run that was killed."""
        try:
            rows = json.loads(self.report.read_text())["frame_list"]
            if isinstance(rows, str):
                rows = list(csv.DictReader(self.frame_list.read_text(encoding="utf-8").splitlines()))
            return [str(row["mask"]) for row in rows]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def write_report(self, report: dict[str, Any]) -> None:
        with replacing(self.report) as temporary:
            temporary.write_text(json.dumps(report, indent=2) + "\n")

    def _compare(self, settings: dict[str, Any]) -> None:
        try:
            earlier = _flat(json.loads(self.report.read_text())["settings"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{self.report} cannot be read ({error!r}), so the run cannot be resumed. Fix: start again with "
                "--overwrite"
            ) from error
        now = _flat(settings)
        for key in earlier | now:
            if earlier.get(key) == now.get(key):
                continue
            if key.startswith("source_"):
                raise InputError(
                    f"{now['source']} has changed since {self.path} was begun: {key.removeprefix('source_')} was "
                    f"{earlier.get(key)!r}, now it is {now.get(key)!r}; expected the same file to resume. Fix: put the "
                    "earlier file back, or start again with --overwrite"
                )
            raise InputError(
                f"{self.path} was begun with {key} {earlier.get(key)!r}, now it is {now.get(key)!r}; expected the "
                "same to resume. Fix: use the same options, or start again with --overwrite"
            )


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"files": {"amcnet": 1}} to {"files.amcnet": 1}, so that a difference can be named."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
