"""The HTML page of a run: overlay, masks, charts, stage times, notes and settings, in one file."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..files.atomic import replacing
from ..html_page import page_begin, page_end
from .mask_series import MaskSeries, small_mask
from .recorded_run import RecordedRun
from .time_chart import time_chart

EMBEDDED_VIDEO_BYTES = 32 * 2**20  # a larger overlay is linked
EMBEDDED_MASKS = 2000  # some 600 bytes each; of more frames, evenly spaced ones
_RESOURCES = Path(__file__).parent


def write_page(path: Path, run: RecordedRun) -> None:
    """Write the page of `run` to `path`.

        write_page(Path("page.html"), RecordedRun.read(Path("video-amcnet")))

    The overlay is in the page if it has at most `EMBEDDED_VIDEO_BYTES`, else it is linked by its path relative to the
    page. The curves cover all frames, of which at most `EMBEDDED_MASKS` masks are in the page. Raises InputError for a
    mask or video that cannot be read, OutputError if `path` cannot be written.
    """
    series = MaskSeries.read(run.masks)
    parts = [
        page_begin(f"{_source(run)} - amc-view", (_RESOURCES / "page.css").read_text()),
        *_header(run, series),
        *_views(run, path),
        *_charts(run, series),
        *_stages(run),
        *_outputs(run, path),
        *_data(run, series),
        page_end((_RESOURCES / "page.js").read_text()),
    ]
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace") as file:
        file.writelines(parts)


def _header(run: RecordedRun, series: MaskSeries) -> Iterator[str]:
    width, height = series.size
    count = "1 frame" if len(run.masks) == 1 else f"{len(run.masks)} frames, {run.seconds[-1] - run.seconds[0]:.1f} s"
    facts = [f"{count}, {width}x{height}"]
    if series.mean_steadiness is not None:
        facts.append(f"mean steadiness {series.mean_steadiness:.3f}")
    facts.append(f"mean area {sum(series.areas) / len(series.areas):.1%}")
    if run.report.get("fps"):
        facts.append(f"{run.report['fps']:.1f} frames/s, {run.report['backend']}, {run.report['machine']['processor']}")
    yield f"<h1>{_safe(_source(run))}</h1>\n<p>{_safe('; '.join(facts))}</p>\n"
    if run.notes:
        yield f'<ul class="notes">{"".join(f"<li>{_safe(note)}</li>" for note in run.notes)}</ul>\n'


def _views(run: RecordedRun, page: Path) -> Iterator[str]:
    yield '<div class="views">'
    if run.video is not None:
        link = "" if _is_embedded(run.video) else f' src="{_link(run.video, page)}"'
        yield f'<video controls playsinline muted preload="auto"{link}></video>'
    yield '<img id="mask" alt=""></div>\n<div class="now">'
    yield '<button type="button" data-step="-1" aria-label="previous frame">&lsaquo;</button>'
    yield f'<input type="range" min="0" max="{len(run.masks) - 1}" value="0" aria-label="frame">'
    yield '<button type="button" data-step="1" aria-label="next frame">&rsaquo;</button><output></output></div>\n'


def _charts(run: RecordedRun, series: MaskSeries) -> Iterator[str]:
    if len(run.masks) == 1:
        return
    worst, most = series.least_steady(), max(series.areas)
    unit = "IoU of each mask with the mask before it, from 0 to 1"
    yield time_chart("Steadiness", unit, run.seconds, series.steadiness, top=1, marked=worst)
    unit = f"share of the image inside the mask, from 0 to {most:.1%}"
    yield time_chart("Area", unit, run.seconds, series.areas, top=most)
    if worst:
        yield "<h2>Least steady frames</h2>\n"
        yield '<p class="soft">The mask before and the mask. A cut of the video lowers the steadiness as well.</p>\n'
        items = (
            f'<li><button type="button" data-frame="{frame}"><img alt="mask before"><img alt="mask">'
            f"<span>frame {frame}, {run.seconds[frame]:.2f} s</span>"
            f"<span>steadiness {series.steadiness[frame]:.3f}</span></button></li>"
            for frame in worst
        )
        yield f'<ul class="worst">{"".join(items)}</ul>\n'


def _stages(run: RecordedRun) -> Iterator[str]:
    stages = run.report.get("latency_ms")
    if not stages:
        return
    slowest = max(stage["p50"] for stage in stages.values())
    yield '<h2>Stage times</h2>\n<p class="soft">ms per frame. Stages run in parallel and overlap.</p>\n'
    yield '<table class="stages"><thead><tr><th>stage</th><th class="number">median</th><th class="number">p95</th>'
    yield "<th></th></tr></thead><tbody>"
    for name, stage in stages.items():
        yield f'<tr><td>{_safe(name)}</td><td class="number">{stage["p50"]:.2f}</td>'
        yield f'<td class="number">{stage["p95"]:.2f}</td>'
        yield f'<td><span class="bar" style="width:{100 * stage["p50"] / slowest:.1f}%"></span></td></tr>\n'
    yield "</tbody></table>\n"


def _outputs(run: RecordedRun, page: Path) -> Iterator[str]:
    rows = "".join(
        f'<tr><td><a href="{_link(path, page)}">{_safe(name)}</a></td><td>{_safe(path.name)}</td>'
        f'<td class="number">{_size(path)}</td></tr>'
        for name, path in run.outputs.items()
    )
    yield f"<h2>Outputs</h2>\n<table><tbody>{rows}</tbody></table>\n"
    rest = {key: value for key, value in run.report.items() if key not in ("frame_list", "notes", "latency_ms")}
    text = json.dumps(rest, indent=2, ensure_ascii=False)
    yield f"<details><summary>run.json</summary><pre>{_safe(text)}</pre></details>\n"


def _data(run: RecordedRun, series: MaskSeries) -> Iterator[str]:
    """What the script of the page reads: measures and masks, and the bytes of the video."""
    every = -(-len(run.masks) // EMBEDDED_MASKS)
    near_worst = {index for frame in series.least_steady() for index in (frame - 1, frame)}
    data = {
        "seconds": run.seconds,
        "delay": run.video_delay_seconds(),
        "areas": [round(area, 5) for area in series.areas],
        "steadiness": [value if value is None else round(value, 5) for value in series.steadiness],
        "masks": {
            frame: small_mask(run.masks[frame]) for frame in sorted({*range(0, len(run.masks), every), *near_worst})
        },
    }
    yield f'<script type="application/json" id="run">{json.dumps(data, separators=(",", ":"))}</script>\n'
    if run.video is not None and _is_embedded(run.video):
        encoded = base64.b64encode(run.video.read_bytes()).decode()
        yield f'<script type="text/plain" id="video" data-type="{run.video_type}">{encoded}</script>\n'


def _is_embedded(video: Path) -> bool:
    return video.stat().st_size <= EMBEDDED_VIDEO_BYTES


def _source(run: RecordedRun) -> str:
    return Path(str(run.report.get("settings", {}).get("source", ""))).name or run.folder.resolve().name


def _link(path: Path, page: Path) -> str:
    """The path from the page's folder, as a URL."""
    return quote(Path(os.path.relpath(path.resolve(), page.resolve().parent)).as_posix())


def _size(path: Path) -> str:
    files = list(path.iterdir()) if path.is_dir() else [path]
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    return f"{megabytes:.1f} MB" + (f" in {len(files)} files" if path.is_dir() else "")


def _safe(text: Any) -> str:
    return html.escape(str(text))
