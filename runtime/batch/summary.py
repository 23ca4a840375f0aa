"""The table of all videos of a batch: summary.parquet with pyarrow, else summary.csv, and summary.html."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ..extras import is_installed
from ..files.atomic import replacing
from .layout import Layout
from .status import Status
from .summary_page import Overview, write_page
from .video import Video

COLUMNS = {
    "video": "string",
    "state": "string",
    "frames": "int64",
    "seconds": "float64",
    "attempts": "int64",
    "source_bytes": "int64",
    "source": "string",
    "output": "string",
    "message": "string",
}
"""Names and Arrow types; `state` is waiting, running, done or failed."""
_ROWS_AT_ONCE = 1000


class Summary:
    """Writes the summary of `videos` from their status files, a row at a time: memory does not grow with them."""

    def __init__(self, videos: Sequence[Video], layout: Layout) -> None:
        self._videos, self._layout = videos, layout
        self._next_seconds = 0.0

    def remove_unfinished(self) -> None:
        """Remove what writing the files left when the process was killed."""
        for suffix in ("parquet", "csv", "html"):
            path = self._layout.summary(suffix)
            for unfinished in path.parent.glob(f".{path.name}.*.part"):
                unfinished.unlink(missing_ok=True)

    def write(self) -> list[str]:
        """Replace the files; return their paths or addresses. Raises OutputError."""
        begin = time.monotonic()
        suffix, write = ("parquet", _write_parquet) if is_installed("pyarrow") else ("csv", _write_csv)
        table, page = self._layout.summary(suffix), self._layout.summary("html")
        overview = Overview()
        write(table, self._rows(overview))
        write_page(page, table.name, overview, self._status)
        # All status files are read, 10 s for 100,000 videos: at most a twentieth of the time.
        self._next_seconds = time.monotonic() + max(10.0, 20 * (time.monotonic() - begin))
        return [self._layout.publish(path) for path in (table, page)]

    def write_now_and_then(self) -> None:
        if time.monotonic() >= self._next_seconds:
            self.write()

    def _rows(self, overview: Overview) -> Iterator[dict[str, Any]]:
        for video in self._videos:
            status = self._status(video)
            overview.add(video, status)
            yield _row(video, status)

    def _status(self, video: Video) -> Status | None:
        return Status.read(self._layout.status(video))


def _row(video: Video, status: Status | None) -> dict[str, Any]:
    row: dict[str, Any] = {"video": video.relative, "state": "waiting", "source": video.source, "output": video.output}
    if status is not None:
        row |= {name: getattr(status, name) for name in ("state", "frames", "seconds", "attempts", "message")}
        row["source_bytes"] = status.key.source_bytes
    return row


def _write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    # Names that are not UTF-8 keep their bytes.
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as f:
        writer = csv.DictWriter(f, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in COLUMNS.items()])
    rows = iter(rows)
    with replacing(path) as temporary, pyarrow.parquet.ParquetWriter(str(temporary), schema) as writer:
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            some = [{name: _utf8(value) for name, value in row.items()} for row in some]
            writer.write_table(pyarrow.Table.from_pylist(some, schema))


def _utf8(value: Any) -> Any:
    """Text with what is not UTF-8 replaced: Arrow's strings allow nothing else."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if isinstance(value, str) else value
