"""The figures in the README, from committed measurements: python -m amcnet.benchmarks.readme_figures [--check]

Writes the text between `<!-- begin NAME -->` and `<!-- end NAME -->` for each NAME of `SECTIONS`, from
benchmarks/results: davis16.json, davis16-int8.json, ingredients.json, run-*.json (each the run.json of an `amc-infer`
run), overlap.json, operators.json, cpu-speed.json, int8.json; cpu.json and cpu-paper.json, the reports of amc-bench;
h200.json and h200-paper.json of gpu_check, h200-correlation.json.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import AmcNetError, command


@command
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("."), help="the repository (the current folder)")
    parser.add_argument("--check", action="store_true", help="change nothing; status 2 if the README is out of date")
    arguments = parser.parse_args()
    readme = arguments.root / "README.md"
    text = readme.read_text()
    updated = with_figures(text, arguments.root / "benchmarks" / "results")
    if updated != text:
        if arguments.check:
            raise AmcNetError("the README's figures are not those of benchmarks/results; run this without --check")
        readme.write_text(updated)
    return 0


def with_figures(readme: str, results: Path) -> str:
    """The text of the README with each section anew from the measurements in `results`."""
    for name, write in SECTIONS.items():
        pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        if not pattern.search(readme):
            raise AmcNetError(
                f"the README has no section {name!r}; expected <!-- begin {name} --> and <!-- end {name} -->"
            )
        begin, end = pattern.split(readme)[0], pattern.split(readme)[-1]
        readme = f"{begin}<!-- begin {name} -->\n{write(results)}<!-- end {name} -->{end}"
    return readme


def _quality(results: Path) -> str:
    """J and F of the embedded default, per sequence, and the averages of its variants."""
    variants = json.loads((results / "davis16.json").read_text())["variants"]
    lines = ["| DAVIS-2016 val, 6 sequences | J mean | F mean | J&F |", "|---|---|---|---|"]
    for name, scores in variants["default"]["sequences"].items():
        lines.append(_row(name, scores["J"]["mean"], scores["F"]["mean"]))
    int8 = _load(results / "davis16-int8.json")["variants"]["default"]
    for name, variant in (variants | {"int8": int8}).items():
        average = variant["average"]
        lines.append(_row(f"**average, {name}**", average["J"]["mean"], average["F"]["mean"]))
    return "\n".join(lines) + "\n"


def _row(name: str, region: float, boundary: float) -> str:
    return f"| {name} | {100 * region:.1f} | {100 * boundary:.1f} | {50 * (region + boundary):.1f} |"


def _ingredients(results: Path) -> str:
    """J&F after short trainings that lack one ingredient of the recipe, a column for each length."""
    variants = _load(results / "ingredients.json")["variants"]
    lengths = sorted({length for scores in variants.values() for length in scores}, key=int)
    lines = ["| J&F after | " + " | ".join(f"{length} iterations" for length in lengths) + " |"]
    lines.append("|---|" + "---|" * len(lengths))
    for name, scores in variants.items():
        figures = [f"{100 * scores[length]['J&F']:.1f}" if length in scores else "" for length in lengths]
        lines.append(f"| {name} | {' | '.join(figures)} |")
    return "\n".join(lines) + "\n"


def _speed(results: Path) -> str:
    """Median ms per frame and stage of whole runs."""
    runs = {path.stem.removeprefix("run-"): _load(path) for path in sorted(results.glob("run-*.json"))}
    stages = list(next(iter(runs.values()))["latency_ms"])
    lines = ["| run | frames | ms per frame | " + " | ".join(stages) + " |", "|---|---|---|" + "---|" * len(stages)]
    for name, report in runs.items():
        times = " | ".join(f"{report['latency_ms'][stage]['p50']:.1f}" for stage in stages)
        lines.append(f"| {name} | {report['frames']} | {1e3 / report['fps']:.1f} | {times} |")
    machines = {f"{run['backend']} of {run['machine']['processor']}" for run in runs.values()}
    lines.append(
        "\nWhole runs, decode to written masks and overlay; the stages' medians in ms. The stages overlap, and the"
    )
    lines.append("network works on several frames at once, so they add up to more than the frame.")
    lines.append(f"{'; '.join(sorted(machines))}.")
    return "\n".join(lines) + "\n"


def _bench(results: Path) -> str:
    """Latency of the networks alone, by what runs them: the reports of amc-bench."""
    reports = [_load(results / name) for name in ("cpu.json", "cpu-paper.json")]
    lines = ["| network alone, all cores | by | p50 ms | p95 ms | times ours |", "|---|---|---|---|---|"]
    for network in (network for report in reports for network in report["networks"]):
        size = "x".join(map(str, network["size"]))
        for row in network["rows"]:
            latency, ours = row["latency"], network["rows"][0]["latency"]["p50_ms"]
            mark = "" if row["stable"] else " (unstable)"
            times = f"{latency['p50_ms'] / ours:.2f}" if row is not network["rows"][0] else ""
            figures = f"{latency['p50_ms']:.1f}{mark} | {latency['p95_ms']:.1f} | {times}"
            lines.append(f"| {network['name']}, {size} | {row['way']} | {figures} |")
    return "\n".join(lines) + "\n"


def _ratios(results: Path) -> str:
    """What the design's choices gain, as ratios within one run."""
    overlap, operators = _load(results / "overlap.json"), _load(results / "operators.json")
    rows = {"stages one after the other / overlapping, whole `amc-infer`": overlap} | operators
    whole = _load(results / "cpu-speed.json")["amc-infer"]
    rows |= {f"ONNX Runtime fp32 / {name}, whole `amc-infer`": row for name, row in whole.items() if row["ratio"] != 1}
    int8 = _load(results / "int8.json")["networks"]
    rows |= {f"fp32 / int8, {name}": row for name, row in int8.items()}
    lines = ["| slower form / form in use | ratio (least to most) |", "|---|---|"]
    for name, row in rows.items():
        lines.append(f"| {name} | {row['ratio']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f}) |")
    return "\n".join(lines) + "\n"


def _gpu(results: Path) -> str:
    """Each file on the GPU, and what a correlation kernel of our own could gain there at most."""
    checks = [_load(results / name) for name in ("h200.json", "h200-paper.json")]
    gpu = checks[0]["environment"]["gpu"].partition(" (")[0]
    lines = [f"| network on an {gpu} | by | ms a call | of these on the GPU | mean mask IoU with the CPU's |"]
    lines.append("|---|---|---|---|---|")
    for check in checks:
        for file, ways in check["results"].items():
            for way, row in ways.items():
                times = f"{row['call']['p50_ms']:.1f} | {row['gpu_ms']['network']['p50']:.1f}"
                lines.append(f"| {file} | {way} | {times} | {row['fidelity']['mean_iou']:.4f} |")
    lines += ["", "| PWC-Net there | ms a call | with a correlation that costs nothing | gain of any kernel, at most |"]
    lines.append("|---|---|---|---|")
    for name, row in _load(results / "h200-correlation.json")["networks"].items():
        times = f"{row['ours_ms']:.2f} | {row['free_ms']:.2f}"
        lines.append(f"| {name.removeprefix('PWC-Net ')} | {times} | {row['ratio']:.2f} |")
    return "\n".join(lines) + "\n"


def _load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


SECTIONS: dict[str, Callable[[Path], str]] = {
    "quality": _quality,
    "ingredients": _ingredients,
    "speed": _speed,
    "bench": _bench,
    "ratios": _ratios,
    "gpu": _gpu,
}


if __name__ == "__main__":
    sys.exit(main())
