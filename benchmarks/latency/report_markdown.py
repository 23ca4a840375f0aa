"""report.json as a page to read in a terminal or on a code host: report.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def report_markdown(report: dict[str, Any]) -> str:
    """The text of report.md."""
    environment = report["environment"]
    lines = [
        "# Latency",
        "",
        f"{environment['processor']}, {environment['cores']} cores"
        + (f", {environment['gpu']}" if environment["gpu"] else "")
        + f"; {report['created'][:10]}; {report['settings']['video']}",
        "",
        *[f"- **{subject}: {figure}**; {meaning}" for subject, figure, meaning in headlines(report)],
        "",
    ]
    if report["trust"]["doubts"]:
        lines += [f"**Unstable run:** {'; '.join(report['trust']['doubts'])}.", ""]
    for network in report["networks"]:
        lines += [f"## {network['name']}", "", *latency_table(network), ""]
        lines += [f"- {peer}: not measured; {reason}" for peer, reason in network["absent"].items()]
        lines += [""] if network["absent"] else []
        lines += _predictions(network)
    if (frame := report["frame"]) is not None:
        lines += ["## A whole frame", "", f"{frame['verdict']}.", "", *stage_table(frame), ""]
        lines += [f"**Unstable:** {'; '.join(frame['doubts'])}.", ""] if frame["doubts"] else []
    lines += [f"note: {note}" for note in report["notes"]]
    return "\n".join(lines).rstrip() + "\n"


def headlines(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What somebody in a hurry should know of each file and of the whole frame: its name, the figure, what it means."""
    said = []
    for network in report["networks"]:
        row = network["rows"][0]
        latency, target = row["latency"], row.get("target")
        meaning = f"{latency['per_second']:.1f} a second" if target is None else target_sentence(target)
        subject = f"{network['name']} at {'x'.join(map(str, network['size']))}"
        said.append((subject, f"{latency['p50_ms']:.1f} ms{unstable(row)}", meaning))
    if (frame := report["frame"]) is not None:
        subject = f"a whole frame of {frame['clip']}, decode to written mask"
        said.append((subject, f"{frame['latency']['p50_ms']:.1f} ms{unstable(frame)}", frame["verdict"]))
    return said


def target_sentence(target: dict[str, Any]) -> str:
    """ "the paper's 57 ms (GTX 1080 Ti) not met: 14.7 times as long"."""
    if target["same_network"]:
        times = target["ratio"]
        how = f"{times:.1f} times as long" if times > 1 else f"{1 / times:.1f} times as fast"
        return f"the paper's {target['target_ms']:.0f} ms (GTX 1080 Ti) {'' if target['met'] else 'not '}met: {how}"
    work = "" if target["work_of_papers"] is None else f" with {target['work_of_papers']:.1%} of its work"
    return f"the paper's {target['target_ms']:.0f} ms is of another network; this is one{work}"


def latency_table(network: dict[str, Any]) -> list[str]:
    """Rows of a file, ours first, as lines of a table."""
    cells = [
        ["", "p50 ms", "p90", "p95", "p99", "mean", "std", "a second", "runs", "compute", "against ours"],
        *[_cells(row) for row in network["rows"]],
    ]
    return table(cells)


def _cells(row: dict[str, Any]) -> list[str]:
    latency = row["latency"]
    share = (row.get("achieved") or {}).get("share_of_compute")
    ratio = row.get("against_ours")
    return [
        row["way"] + unstable(row),
        *(f"{latency[name]:.1f}" for name in ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "mean_ms", "std_ms")),
        f"{latency['per_second']:.1f}",
        str(latency["runs"]),
        "" if share is None else f"{share:.0%}",
        "" if ratio is None else f"{ratio['ratio']:.2f} ({ratio['ratio_min']:.2f} to {ratio['ratio_max']:.2f})",
    ]


def stage_table(frame: dict[str, Any]) -> list[str]:
    """Stages of a frame as lines of a table."""
    rows = [[stage, f"{times['p50']:.1f}", f"{times['p95']:.1f}"] for stage, times in frame["stages_ms"].items()]
    return table([["stage", "p50 ms", "p95 ms"], *rows])


def _predictions(network: dict[str, Any]) -> list[str]:
    if not network["predictions"]:
        return []
    rows = [
        [f"{row['gpu']}, {row['precision']}", *(f"{row[key]:.0f}" for key in ("fast_ms", "likely_ms", "slow_ms"))]
        for row in network["predictions"]
    ]
    return ["**Prediction, not measured:**", "", *table([["GPU", "fast ms", "likely ms", "slow ms"], *rows]), ""]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; the first row is the head."""
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return [head, "|" + "---|" * len(rows[0]), *rest]


def unstable(row: dict[str, Any]) -> str:
    """A mark behind what should not be believed."""
    return "" if row["stable"] else " (unstable)"
