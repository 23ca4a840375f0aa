"""summary.html: counts, a table that can be sorted, and small images of masks; one file that needs no network."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from ..files.atomic import replacing
from ..html_page import page_begin, page_end
from .status import FAILED, Status
from .video import Video

_MOST_ROWS = 2000
"""A browser sorts them at once; each is some 2 kB with its images. All videos are in the table file."""

Statuses = Callable[[], Iterable[tuple[Video, Status | None]]]

_STYLE = """
th button { font: inherit; font-weight: 600; background: none; border: 0; padding: 0; color: inherit; cursor: pointer; }
img { height: 48px; background: #888; margin-right: 4px; vertical-align: middle; } .failed { color: #c2300c; }
"""
_SCRIPT = """
document.querySelectorAll("th button").forEach((button, column) => button.onclick = () => {
  const body = document.querySelector("tbody"), up = button.dataset.up !== "1";
  button.dataset.up = up ? "1" : "";
  const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
  [...body.rows].sort((a, b) => value(a).localeCompare(value(b), undefined, {numeric: true}) * (up ? 1 : -1))
    .forEach(row => body.append(row));
});
"""


def write_page(path: Path, table: str, videos: int, statuses: Statuses) -> None:
    """Write the page at `path`, failures first, for `videos` rows of `statuses()`; `table` is the name of the full one.

    The status files are read three times rather than kept in memory. Raises OutputError.
    """
    counts = Counter(status.state if status else "waiting" for _, status in statuses())
    frames = sum(status.frames for _, status in statuses() if status)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace") as page:
        page.write(f"{page_begin('amc-batch', _STYLE)}<h1>amc-batch</h1>\n")
        states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        page.write(f"<p>{videos} videos: {states}; {frames} frames.</p>\n")
        if videos > _MOST_ROWS:
            page.write(f"<p>The first {_MOST_ROWS} rows, failures first; all are in {html.escape(table)}.</p>\n")
        columns = ("video", "state", "frames", "seconds", "attempts", "masks: first, middle, worst", "message")
        heads = "".join(f'<th><button type="button">{column}</button></th>' for column in columns)
        page.write(f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>\n')
        _write_rows(page, statuses)
        page.write(f"</tbody></table></div>\n{page_end(_SCRIPT)}")


def _write_rows(page: TextIO, statuses: Statuses) -> None:
    for written, (video, status) in enumerate(_failures_first(statuses)):
        if written == _MOST_ROWS:
            return
        page.write(_row(video, status))


def _failures_first(statuses: Statuses) -> Iterator[tuple[Video, Status | None]]:
    for failures in (True, False):
        yield from (each for each in statuses() if (each[1] is not None and each[1].state == FAILED) == failures)


def _row(video: Video, status: Status | None) -> str:
    if status is None:
        return f"<tr><td>{html.escape(video.relative)}</td><td>waiting</td>{'<td></td>' * 5}</tr>\n"
    images = "".join(
        f'<img alt="{image["name"]} mask" title="{image["name"]}: frame {image["frame"]}" '
        f'src="data:image/png;base64,{image["png"]}">'
        for image in status.images
    )
    message = "; ".join([status.message, *status.notes] if status.message else status.notes)
    return (
        f'<tr><td>{html.escape(video.relative)}</td><td class="{status.state}">{status.state}</td>'
        f'<td class="number">{status.frames}</td><td class="number">{status.seconds:.1f}</td>'
        f'<td class="number">{status.attempts}</td><td>{images}</td><td>{html.escape(message)}</td></tr>\n'
    )
