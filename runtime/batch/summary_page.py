"""summary.html: counts, a table that can be sorted, and small images of masks; one file that needs no network."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable
from itertools import chain, islice
from pathlib import Path

from ..files.atomic import replacing
from ..html_page import page_begin, page_end
from .status import FAILED, Status
from .video import Video

_MOST_ROWS = 10_000
"""With images they are 20 MB. A browser lays out those that are in view. All videos are in the table file."""

_STYLE = """
table { table-layout: fixed; } col.text { width: 30%; } col.images { width: 330px; } col.number { width: 96px; }
.failed { color: #c2300c; }
th button { font: inherit; background: none; border: 0; padding: 0; color: inherit; cursor: pointer; }
th[aria-sort=ascending] button::after { content: " ↑"; } th[aria-sort=descending] button::after { content: " ↓"; }
img { width: 96px; max-height: 96px; object-fit: contain; background: #888; margin-right: 4px; vertical-align: middle; }
@media (max-width: 800px) {
  colgroup { display: none; } table, tbody { display: block; } tr { display: flex; flex-wrap: wrap; gap: 2px 12px; }
  tbody tr { border-bottom: 1px solid #8884; padding: 8px 0; } td { border: 0; padding: 0; } td:empty { display: none; }
  td:first-child, td:last-child { flex-basis: 100%; } th { border: 0; padding: 0; }
  td:nth-child(3)::after { content: " frames"; } td:nth-child(4)::after { content: " s"; }
  td:nth-child(5)::before { content: "attempts: "; } td:nth-child(6) { flex-basis: 100%; }
}
"""
_SCRIPT = """
const order = new Intl.Collator(undefined, {numeric: true}).compare, body = document.querySelector("tbody");
const all = [...document.querySelector("template").content.querySelectorAll("tr")];
let rows = all, shown = 0;
const more = () => body.append(...rows.slice(shown, shown += 100));
const begin = () => { shown = 0; body.replaceChildren(); more(); };
const end = new IntersectionObserver(([{isIntersecting, target}]) => {
  if (!isIntersecting || shown >= rows.length) return;
  more(); end.unobserve(target); end.observe(target);  // which asks again
}, {rootMargin: "1000px"});
document.querySelector("input").oninput = ({target}) => {
  const text = target.value.toLowerCase();
  rows = all.filter(row => row.textContent.toLowerCase().includes(text));
  begin();
};
document.querySelectorAll("th button").forEach(button => button.onclick = () => {
  const head = button.parentElement, up = head.ariaSort !== "ascending";
  document.querySelectorAll("th").forEach(each => each.ariaSort = null);
  head.ariaSort = up ? "ascending" : "descending";
  const value = new Map(all.map(row => [row, row.cells[head.cellIndex].textContent]));
  const compare = (a, b) => a && b ? order(a, b) * (up ? 1 : -1) : !a - !b;  // cells without a value come last
  for (const list of new Set([all, rows])) list.sort((a, b) => compare(value.get(a), value.get(b)));
  begin();
});
begin();
end.observe(document.querySelector("footer"));
"""
_COLUMNS = {
    "video": "text",
    "state": "number",
    "frames": "number",
    "seconds": "number",
    "attempts": "number",
    "masks: first, middle, worst": "images",
    "message": "text",
}


class Overview:
    """Collects what the page says of all videos, one at a time: counts, and the videos of its rows."""

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.frames = 0
        self._failed: list[Video] = []
        self._others: list[Video] = []

    def add(self, video: Video, status: Status | None) -> None:
        state = status.state if status else "waiting"
        self.states[state] += 1
        self.frames += status.frames if status else 0
        rows = self._failed if state == FAILED else self._others
        if len(rows) < _MOST_ROWS:
            rows.append(video)

    def rows(self) -> list[Video]:
        """Failures first."""
        return list(islice(chain(self._failed, self._others), _MOST_ROWS))


def write_page(path: Path, table: str, overview: Overview, status_of: Callable[[Video], Status | None]) -> None:
    """Write the page at `path`; `table` is the name of the file with all rows. Raises OutputError.

    The status of a row is read when it is written: with their images they are too large to be kept.
    """
    videos = overview.states.total()
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace") as page:
        page.write(f"{page_begin('amc-batch', _STYLE)}<h1>amc-batch</h1>\n")
        states = ", ".join(f"{count:,} {state}" for state, count in sorted(overview.states.items()))
        page.write(f"<p>{videos:,} videos: {states}; {overview.frames:,} frames.</p>\n")
        if videos > _MOST_ROWS:
            page.write(f"<p>The first {_MOST_ROWS:,} rows, failures first; all are in {html.escape(table)}.</p>\n")
        widths = "".join(f'<col class="{kind}">' for kind in _COLUMNS.values())
        heads = "".join(map(_head, _COLUMNS))
        page.write('<p><input type="search" placeholder="filter" aria-label="filter"></p>\n')
        page.write(f"<table><colgroup>{widths}</colgroup><thead><tr>{heads}</tr></thead><tbody></tbody></table>\n")
        page.write("<template>\n")
        for video in overview.rows():
            page.write(_row(video, status_of(video)))
        page.write(f"</template><footer></footer>\n{page_end(_SCRIPT)}")


def _head(column: str) -> str:
    return f"<th>{column}</th>" if column.startswith("masks") else f'<th><button type="button">{column}</button></th>'


def _row(video: Video, status: Status | None) -> str:
    if status is None:
        return f"<tr><td>{html.escape(video.relative)}</td><td>waiting</td>{'<td></td>' * 5}</tr>\n"
    images = "".join(
        f'<img alt="{image["name"]} mask" title="{image["name"]}: frame {image["frame"]}" '
        f'src="data:image/png;base64,{image["png"]}">'
        for image in status.images
    )
    message = "; ".join([status.message, *status.notes] if status.message else status.notes)
    frames, seconds = (f"{status.frames}", f"{status.seconds:.1f}") if status.frames else ("", "")
    return (
        f'<tr><td>{html.escape(video.relative)}</td><td class="{status.state}">{status.state}</td>'
        f'<td class="number">{frames}</td><td class="number">{seconds}</td>'
        f'<td class="number">{status.attempts}</td><td>{images}</td><td>{html.escape(message)}</td></tr>\n'
    )
