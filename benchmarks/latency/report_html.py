"""Render report.json as one self-contained HTML file, report/index.html."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

from .charts import Point, bars, histogram, lines, roofline
from .frame_time import THREADS
from .report_markdown import frame_rows, headlines, milliseconds, noise_sentence, reasons, unstable

_STYLE = """
:root { --paper:#fff; --card:#f5f6f8; --ink:#1b1f24; --soft:#5a6370; --rule:#dfe3e8; --main:#2563c9;
  --accent:#c2560c; --warn:#fff1d6; --warn-ink:#6b4700; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --paper:#14171b; --card:#1d2127; --ink:#e8eaed; --soft:#9aa4b0;
  --rule:#343a43; --main:#6ea8ff; --accent:#ff9d57; --warn:#40300c; --warn-ink:#ffdf9e; } }
* { box-sizing: border-box; }
body { margin:0 auto; padding:16px; max-width:1080px; background:var(--paper); color:var(--ink);
  font:15px/1.5 system-ui, sans-serif; }
h1 { font-size:22px; margin:0 0 4px; } h2 { font-size:18px; margin:32px 0 8px; } h3 { font-size:15px; margin:0 0 6px; }
p { margin:6px 0; } .soft { color:var(--soft); } .big { font-size:30px; font-weight:650; line-height:1.2; }
.cards { display:grid; grid-template-columns:repeat(auto-fit, minmax(min(100%, 320px), 1fr)); gap:12px;
  align-items:start; margin:8px 0; }
.card { background:var(--card); border:1px solid var(--rule); border-radius:8px; padding:12px 14px; min-width:0;
  overflow-wrap:anywhere; }
.warn { background:var(--warn); color:var(--warn-ink); border-radius:8px; padding:10px 14px; margin:12px 0; }
.scroll { overflow-x:auto; } table { border-collapse:collapse; width:100%; font-variant-numeric:tabular-nums; }
th, td { text-align:right; padding:5px 8px; border-bottom:1px solid var(--rule); white-space:nowrap; }
th:first-child, td:first-child { text-align:left; white-space:normal; min-width:130px; } th { font-weight:600; }
summary { cursor:pointer; padding:6px 0; } svg { display:block; width:100%; max-width:520px; height:auto; }
svg text { font:11px system-ui, sans-serif; fill:var(--ink); } svg text.soft { fill:var(--soft); }
svg .main { fill:var(--main); } svg .accent { fill:var(--accent); }
svg .dot { fill:var(--main); fill-opacity:.45; } svg .grid { stroke:var(--rule); }
svg .median { stroke:var(--accent); stroke-dasharray:4 3; }
svg .roof { stroke:var(--soft); fill:none; stroke-width:2; }
svg .curve { stroke:var(--main); fill:none; stroke-width:2; } dl { margin:0; display:grid; gap:2px 12px;
  grid-template-columns:max-content 1fr; } dt { color:var(--soft); } dd { margin:0; overflow-wrap:anywhere; }
@media (max-width:600px) { dd:has(> dl) { grid-column:1 / -1; padding-left:14px; } }
"""


def report_page(report: dict[str, Any]) -> str:
    """The text of index.html."""
    environment = report["environment"]
    where = f"{environment['processor']}, {environment['cores']} cores"
    where += f", {environment['gpu']}" if environment["gpu"] else ""
    body = [
        "<h1>amcnet latency report</h1>",
        f'<p class="soft">{_safe(where)} · {_safe(report["created"][:10])} · {_safe(report["settings"]["video"])}</p>',
        _stability(report),
        _headline(report),
        *(_frame(report["frame"]) if report["frame"] else ()),
        *(part for network in report["networks"] for part in _network(network, report["measured_peaks"])),
        *_scaling(report["scaling"]),
        _environment(report),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,"><title>amcnet latency report</title>'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _stability(report: dict[str, Any]) -> str:
    warnings, noise = report["stability"]["warnings"], noise_sentence(report)
    score = "" if noise is None else f" {_safe(noise)}."
    if not warnings:
        return f'<p class="soft">The machine was idle: no throttling, and no load by other processes.{score}</p>'
    text = f"<b>Unstable measurement:</b> {_safe('; '.join(warnings))}. Measure again on an idle machine.{score}"
    return f'<div class="warn">{text}</div>'


def _headline(report: dict[str, Any]) -> str:
    """A card per file and one for the whole frame: the latency and a sentence about it."""
    cards = [
        _card(subject, f'<div class="big">{_safe(figure)}</div><p>{_safe(meaning)}</p>')
        for subject, figure, meaning in headlines(report)
    ]
    paper = report["paper"]
    note = (
        "Latencies are medians unless another statistic is named. "
        f"The paper reports {paper['latency_ms']:.0f} ms per frame for AMC-Net with ResNet-101 at 384x384, network "
        f"only, in PyTorch on a {paper['gpu']}, which is {paper['share_of_peak']:.0%} of the peak FLOP/s of that GPU."
    )
    return f'{_cards(*cards)}<p class="soft">{_safe(note)}</p>'


def _frame(frame: dict[str, Any]) -> Iterable[str]:
    """Stages and threads as bars; those of the slowest thread have the second color."""
    yield "<h2>Whole frame</h2>"
    if found := [*frame["warnings"], *frame["latency"]["warnings"]]:
        yield f'<div class="warn"><b>Unstable measurement:</b> {_safe("; ".join(found))}.</div>'
    head, row = frame_rows(frame)
    yield f"<p>{_safe(frame['verdict'])}.</p>{_table(head, [row])}"
    stages = {stage: times["p50"] for stage, times in frame["stages_ms"].items()}
    yield _cards(
        _card("Latency of each stage, median", bars(stages, "ms", THREADS[frame["critical_path"]])),
        _card("Time per frame of each thread", bars(frame["threads_ms"], "ms", [frame["critical_path"]])),
        _card("Distribution of the time per frame", histogram(_samples(frame["latency"]))),
    )
    yield (
        '<p class="soft">Orange: the slowest thread. Threads run in parallel, and the network processes several frames '
        "at once, so the stages add up to more than the time per frame. "
        f"Clip: {_safe(frame['clip'])}; flow: {_safe(frame['flow'])}; {_safe(frame['backend'])}.</p>"
    )


def _network(network: dict[str, Any], measured_peaks: dict[str, Any]) -> Iterable[str]:
    yield f"<h2>{_safe(network['name'])}</h2>"
    size = "x".join(map(str, network["size"]))
    trained = "" if network["trained"] else " · untrained weights: latency is valid, the outputs are not"
    yield f'<p class="soft">input {size} · {_safe(network["precision"].upper())}{trained}</p>'
    yield _latencies(network["rows"])
    if found := reasons(network):
        yield f"<p><b>Unstable:</b> {_safe('; '.join(found))}.</p>"
    if (stages := network["rows"][0].get("gpu_ms")) is not None:
        medians = ", ".join(f"{stage} {times['p50']:.2f} ms" for stage, times in stages.items())
        yield f"<p>Time on the GPU: {_safe(medians)}.</p>"
    if network["not_measured"]:
        items = "".join(f"<li>{_safe(name)}: {_safe(why)}</li>" for name, why in network["not_measured"].items())
        yield f"<details><summary>Baselines that were not measured</summary><ul>{items}</ul></details>"
    cards = []
    cost = network["cost"]
    if (
        cost is not None
        and "achieved" in network["rows"][0]
        and (peak := measured_peaks["flops_per_second"].get(cost["precision"]))
    ):
        cards.append(_roofline(network, cost, peak, measured_peaks["bytes_per_second"]))
    cards += [_card(row["runtime"] + unstable(row), histogram(_samples(row["latency"]))) for row in network["rows"]]
    yield _cards(*cards)
    yield '<p class="soft">Histograms: latency of all runs in ms; the last bin includes the slowest 1 %.</p>'
    if cost is not None:
        yield _costs(cost)
    if network["fidelity"] is None:
        yield '<p class="soft">Accuracy: none recorded; only engines have a card with a comparison.</p>'
    else:
        accuracy = _tree(network["fidelity"])
        yield f"<details open><summary>Accuracy, from the card of the engine</summary>{accuracy}</details>"


def _latencies(rows: Sequence[dict[str, Any]]) -> str:
    head = ["runtime", "p50 ms", "p95", "p99", "mean", "std", "per second", "runs", "of peak FLOP/s", "ratio to amcnet"]
    cells = []
    for row in rows:
        latency, ratio = row["latency"], row.get("ratio_to_amcnet")
        share = (row.get("achieved") or {}).get("share_of_compute")
        cells.append(
            [
                row["runtime"] + unstable(row),
                *(milliseconds(latency[name]) for name in ("p50_ms", "p95_ms", "p99_ms", "mean_ms", "std_ms")),
                f"{latency['per_second']:.1f}",
                str(latency["runs"]),
                "" if share is None else f"{share:.0%}",
                "" if ratio is None else f"{ratio['ratio']:.2f}",
            ]
        )
    return _table(head, cells)


def _roofline(network: dict[str, Any], cost: dict[str, Any], peak: float, bandwidth: float) -> str:
    """Parts of the network at their bound, and the whole network as measured."""
    points = [
        Point(
            label=f"{name}: {group['flops'] / 1e9:.2f} GFLOP",
            intensity=group["flops"] / group["bytes"],
            flops_per_second=min(peak, bandwidth * group["flops"] / group["bytes"]),
            weight=group["flops"] / cost["flops"],
        )
        for name, group in cost["groups"].items()
        if group["flops"] > 1e-4 * cost["flops"]
    ]
    speed = network["rows"][0]["achieved"]["flops_per_second"]
    whole = Point(
        label=f"{network['name']}, measured",
        intensity=cost["flops"] / cost["bytes"],
        flops_per_second=speed,
        weight=0.2,
        measured=True,
    )
    note = (
        f'<p class="soft">Orange: the network as measured, {speed / 1e9:.0f} GFLOP/s. Blue: the upper bound of each of '
        f"its parts. Peaks measured in this run: {peak / 1e9:.0f} GFLOP/s, {bandwidth / 1e9:.1f} GB/s.</p>"
    )
    return _card("Roofline", roofline(peak, bandwidth, [*points, whole]) + note)


def _costs(cost: dict[str, Any]) -> str:
    head = ["part", "GFLOP", "MB", "FLOP/byte"]
    groups = [
        [name, f"{group['flops'] / 1e9:.3f}", f"{group['bytes'] / 1e6:.1f}", f"{group['flops'] / group['bytes']:.1f}"]
        for name, group in cost["groups"].items()
    ]
    layers = [
        [f"{layer['name']} ({layer['kind']})", f"{layer['flops'] / 1e9:.3f}", f"{layer['bytes'] / 1e6:.1f}"]
        for layer in cost["layers"]
    ]
    total = f"{cost['flops'] / 1e9:.1f} GFLOP and {cost['bytes'] / 1e6:.0f} MB of memory traffic per run"
    return (
        f"<details><summary>{total}, by part</summary>{_table(head, groups)}</details>"
        f"<details><summary>The {len(layers)} layers with most FLOPs</summary>"
        f"{_table(['layer', 'GFLOP', 'MB'], layers)}</details>"
    )


def _scaling(scaling: dict[str, Any] | None) -> Iterable[str]:
    if scaling is None:
        return
    batches = [(row["batch"], row["ms_per_image"]) for row in scaling["batches"] if row["ms_per_image"] is not None]
    cards = [
        _card(
            "Resolution",
            lines(
                [(row["size"][0] * row["size"][1] / 1e6, row["ms_per_frame"]) for row in scaling["resolutions"]],
                "megapixels",
                "ms per frame",
            ),
        ),
        _card(
            "Clip length",
            lines([(row["frames"], row["resident_mib"]) for row in scaling["lengths"]], "frames", "MiB of peak memory"),
        ),
        _card(
            "Parallel videos",
            lines(
                [(row["videos"], row["frames_per_second"]) for row in scaling["videos"]], "videos", "frames per second"
            ),
        ),
    ]
    startups = [(row["videos"], row["startup_seconds"]) for row in scaling["videos"] if "startup_seconds" in row]
    if startups:
        cards.append(_card("Start-up of parallel videos", lines(startups, "videos", "seconds until the first frame")))
    if len(batches) > 1:
        cards.insert(1, _card("Batch size", lines(batches, "images", "ms per image")))
    yield "<h2>Scaling</h2>"
    if scaling["warnings"]:
        yield f'<div class="warn"><b>Unstable measurement:</b> {_safe("; ".join(scaling["warnings"]))}.</div>'
    yield _cards(*cards)


def _environment(report: dict[str, Any]) -> str:
    notes = "".join(f"<p>Note: {_safe(note)}.</p>" for note in report["notes"])
    stability = {name: value for name, value in report["stability"].items() if name != "warnings"}
    return (
        f"<h2>Environment</h2>{notes}{_tree(report['environment'])}"
        f"<details><summary>State of the machine before and after</summary>{_tree(stability)}</details>"
        f"<details><summary>Settings</summary>{_tree(report['settings'])}</details>"
    )


def _tree(value: Any) -> str:
    """Any JSON value as HTML; objects are description lists."""
    if isinstance(value, dict):
        return "<dl>" + "".join(f"<dt>{_safe(key)}</dt><dd>{_tree(item)}</dd>" for key, item in value.items()) + "</dl>"
    return _safe("-" if value is None else value if isinstance(value, str) else json.dumps(value))


def _samples(latency: dict[str, Any]) -> list[float]:
    return [sample for samples in latency["rounds_ms"] for sample in samples]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    heads = "".join(f"<th>{_safe(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{_safe(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _cards(*cards: str) -> str:
    return f'<div class="cards">{"".join(cards)}</div>'


def _card(title: str, content: str) -> str:
    return f'<div class="card"><h3>{_safe(title)}</h3>{content}</div>'


def _safe(text: object) -> str:
    return html.escape(str(text))
