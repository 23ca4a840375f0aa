"""Render report.json as Markdown, report.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def report_markdown(report: dict[str, Any]) -> str:
    """The text of report.md."""
    environment = report["environment"]
    lines = [
        "# amcnet latency report",
        "",
        f"{environment['processor']}, {environment['cores']} cores"
        + (f", {environment['gpu']}" if environment["gpu"] else "")
        + f"; {report['created'][:10]}; {report['settings']['video']}",
        "",
        *[f"- **{subject}: {figure}**; {meaning}" for subject, figure, meaning in headlines(report)],
        "",
    ]
    if report["stability"]["warnings"]:
        lines += [f"**Unstable measurement:** {'; '.join(report['stability']['warnings'])}.", ""]
    if (noise := noise_sentence(report)) is not None:
        lines += [f"{noise}.", ""]
    for network in report["networks"]:
        lines += [f"## {network['name']}", "", *latency_table(network), ""]
        if found := reasons(network):
            lines += [f"**Unstable:** {'; '.join(found)}.", ""]
        lines += [f"- {name}: not measured; {reason}" for name, reason in network["not_measured"].items()]
        lines += [""] if network["not_measured"] else []
    if (frame := report["frame"]) is not None:
        lines += ["## Whole frame", "", f"{frame['verdict']}.", "", *table(frame_rows(frame)), ""]
        lines += [*stage_table(frame), ""]
        if found := [*frame["warnings"], *frame["latency"]["warnings"]]:
            lines += [f"**Unstable measurement:** {'; '.join(found)}.", ""]
    lines += [f"note: {note}" for note in report["notes"]]
    return "\n".join(lines).rstrip() + "\n"


def headlines(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(subject, latency, sentence about it) for each file and for the whole frame."""
    entries = []
    for network in report["networks"]:
        row = network["rows"][0]
        latency, target = row["latency"], row.get("target")
        meaning = f"{latency['per_second']:.1f} runs per second" if target is None else target_sentence(target)
        subject = f"{network['name']} at {'x'.join(map(str, network['size']))}"
        entries.append((subject, f"{latency['p50_ms']:.1f} ms{unstable(row)}", meaning))
    if (frame := report["frame"]) is not None:
        subject = f"whole frame of {frame['clip']}, from decoding to the written mask"
        entries.append((subject, f"{frame['latency']['p50_ms']:.1f} ms{unstable(frame)}", frame["verdict"]))
    return entries


def noise_sentence(report: dict[str, Any]) -> str | None:
    """The noise score before the measurement; None in older reports."""
    noise = report["stability"].get("noise")
    return None if noise is None else f"Noise score before the measurement: {noise['score']:.1f} (quiet up to 1)"


def target_sentence(target: dict[str, Any]) -> str:
    """Comparison with the paper: "14.7 times the paper's 57 ms per frame on a GTX 1080 Ti"."""
    paper = f"the paper's {target['target_ms']:.0f} ms per frame on a GTX 1080 Ti"
    if target["same_network"]:
        return f"{target['ratio']:.2f} times {paper}"
    if target["share_of_paper_flops"] is None:
        return f"not comparable with {paper}, since this is another network"
    return f"not comparable with {paper}: this network has {target['share_of_paper_flops']:.1%} of its FLOPs"


def latency_table(network: dict[str, Any]) -> list[str]:
    """The rows of a file as lines of a table, amcnet's own backend first."""
    cells = [
        [
            "runtime",
            "p50 ms",
            "p90",
            "p95",
            "p99",
            "mean",
            "std",
            "per second",
            "runs",
            "of peak FLOP/s",
            "ratio to amcnet",
        ],
        *[_cells(row) for row in network["rows"]],
    ]
    return table(cells)


def _cells(row: dict[str, Any]) -> list[str]:
    latency = row["latency"]
    share = (row.get("achieved") or {}).get("share_of_compute")
    ratio = row.get("ratio_to_amcnet")
    return [
        row["runtime"] + unstable(row),
        *(milliseconds(latency[name]) for name in ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "mean_ms", "std_ms")),
        f"{latency['per_second']:.1f}",
        str(latency["runs"]),
        "" if share is None else f"{share:.0%}",
        "" if ratio is None else f"{ratio['ratio']:.2f} ({ratio['ratio_min']:.2f} to {ratio['ratio_max']:.2f})",
    ]


def reasons(network: dict[str, Any]) -> list[str]:
    """The warnings of each row of a file, as "PyTorch, eager: the medians of the rounds differ by 12%"."""
    return [
        f"{row['runtime']}: {', '.join(row['latency']['warnings'])}"
        for row in network["rows"]
        if row["latency"]["warnings"]
    ]


def frame_rows(frame: dict[str, Any]) -> list[list[str]]:
    """The whole frame as a table of one row; its energy is empty where it could not be read, and in older reports."""
    joules = frame.get("joules_per_frame")
    return [
        ["ms per frame", "frames per second", "cores busy", "J per frame, processor"],
        [
            f"{frame['latency']['p50_ms']:.1f}",
            f"{frame['frames_per_second']:.1f}",
            f"{frame['cores_busy']:.0%}",
            "" if joules is None else f"{joules:.2f}",
        ],
    ]


def stage_table(frame: dict[str, Any]) -> list[str]:
    """The stages of a whole frame as lines of a table."""
    rows = [[stage, f"{times['p50']:.1f}"] for stage, times in frame["stages_ms"].items()]
    return table([["stage", "p50 ms"], *rows])


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; the first row is the header."""
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return [head, "|" + "---|" * len(rows[0]), *rest]


def milliseconds(value: float | None) -> str:
    """A latency for a table; empty for a percentile of too few runs."""
    return "" if value is None else f"{value:.1f}"


def unstable(row: dict[str, Any]) -> str:
    """The mark of an unstable row: " (unstable)", or nothing."""
    return "" if row["stable"] else " (unstable)"
