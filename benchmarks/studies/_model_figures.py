"""Tables of the bundled networks for the documents: accuracy, speed and size; see readme_figures.py.

Of each network, cpu-speed-NETWORK-PROCESSOR.json names the precisions, and each of them has a davis16*.json. PROCESSOR
is one of `PROCESSORS`; not all are measured for each network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.files.bundled_network import MODELS


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Goals of a bundled network.

    score: J&F in percent on six sequences of DAVIS-2016 val, and `floor`, below which the network is not bundled. ms:
    per frame of whole runs of `amc-infer` at 854x480 on two cores. megabytes: of all its files, 10^6 bytes each.
    """

    score: float
    floor: float
    ms: float
    megabytes: float


# The instructions that decide about the speed -> as columns are headed.
PROCESSORS = {"bf16": "AVX-512 BF16", "avx2": "AVX2"}

GOALS = {
    "light": Goal(score=83, floor=80.5, ms=25, megabytes=15),
    "base": Goal(score=86, floor=83, ms=57, megabytes=40),
}


def summary_table(results: Path) -> str:
    """Quality and speed of the bundled networks by precision and library, and the speed of the paper's networks."""
    heads = " | ".join(f"ms, {name}" for name in PROCESSORS.values())
    lines = [f"| network | library | J&F | {heads} |", "|---|---|---|" + "---|" * len(PROCESSORS)]
    for model in MODELS:
        runs = _runs(results, model)
        for library, precision in dict.fromkeys(form for times in runs.values() for form in times):
            score = f"{_score(results, model, precision):.1f}"
            each = (runs.get(kind, {}).get((library, precision)) for kind in PROCESSORS)
            times = " |".join("" if ms is None else f" {ms:.0f}" for ms in each)
            lines.append(f"| `{model}`, {precision.upper()} | {library} | {score} |{times} |")
    paper = _load(results / "run-resnet101-blackswan.json")
    library = re.split(r" \d", paper["backend"])[0]  # without its version
    lines.append(f"| ResNet-101 and PWC-Net, untrained | {library} | | {1e3 / paper['fps']:.0f} | |")
    return "\n".join([*lines, "", _machines(results)]) + "\n"


def quality_table(results: Path) -> str:
    """J and F of the bundled networks per sequence, and the averages of their variants."""
    tables = {model: dict(_quality_rows(results, model)) for model in MODELS}
    heads = [f"`{model}` {measure}" for model in MODELS for measure in ("J", "F", "J&F")]
    lines = [f"| DAVIS-2016 val, 6 sequences | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for name in dict.fromkeys(name for rows in tables.values() for name in rows):
        cells = [rows.get(name, " |  | ") for rows in tables.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def goals_table(results: Path) -> str:
    """Goals of each bundled network, what was measured, and whether it meets them."""
    lines = ["| network | | goal | measured | |", "|---|---|---|---|---|"]
    for model, goal in GOALS.items():
        score = _score(results, model, "fp32")
        verdict = "met" if score >= goal.score else "missed" if score >= goal.floor else "**missed, below the least**"
        aim = f"{goal.score:g} (at least {goal.floor:g})"
        lines.append(f"| `{model}` | J&F, 6 sequences of DAVIS-2016 val, FP32 | {aim} | {score:.1f} | {verdict} |")
        for kind, times in _runs(results, model).items():
            library, precision = fastest = min(times, key=times.__getitem__)
            ms = f"{times[fastest]:.1f} ({library}, {precision.upper()})"
            verdict = "met" if times[fastest] <= goal.ms else "missed"
            what = f"ms per frame of `amc-infer`, 854x480, 2 cores, {PROCESSORS[kind]}"
            lines.append(f"| `{model}` | {what} | {goal.ms:g} | {ms} | {verdict} |")
        megabytes = sum(path.stat().st_size for path in _files(results, model)) / 1e6
        verdict = "met" if megabytes <= goal.megabytes else "missed"
        lines.append(f"| `{model}` | MB, all precisions | {goal.megabytes:g} | {megabytes:.1f} | {verdict} |")
    return "\n".join([*lines, "", f"Speed in the fastest library and precision. {_machines(results)}"]) + "\n"


def _runs(results: Path, model: str) -> dict[str, dict[tuple[str, str], float]]:
    """Kind of processor -> library and precision -> ms per frame of whole runs of `amc-infer`.

    Raises FileNotFoundError if the network was measured on no processor.
    """
    runs = {}
    for kind in PROCESSORS:
        path = results / f"cpu-speed-{model}-{kind}.json"
        if path.exists():
            rows = _load(path)["amc-infer"]
            runs[kind] = {(form.rsplit(" ", 1)[0], form.rsplit(" ", 1)[1]): row["p50_ms"] for form, row in rows.items()}
    if not runs:
        raise FileNotFoundError(f"{results}: got no cpu-speed-{model}-*.json, expected one of {', '.join(PROCESSORS)}")
    return runs


def _machines(results: Path) -> str:
    """ "On each kind of processor: 2 cores of AMD EPYC.", or each by its name where they differ."""
    found: dict[str, str] = {}
    for kind, name in PROCESSORS.items():
        for path in sorted(results.glob(f"cpu-speed-*-{kind}.json")):
            machine = _load(path)["machine"]
            found[name] = f"{machine['cores']} cores of {machine['processor']}"
    if len(set(found.values())) == 1:
        return f"On each kind of processor: {next(iter(found.values()))}."
    return "; ".join(f"{name}: {machine}" for name, machine in found.items()) + "."


def _quality_rows(results: Path, model: str) -> Iterator[tuple[str, str]]:
    """The name of each row and its cells J, F, J&F in percent."""
    variants = _davis16(results, model, "fp32")["variants"]
    for sequence, scores in variants["default"]["sequences"].items():
        yield sequence, _cells(scores)
    others = {precision for times in _runs(results, model).values() for _, precision in times} - {"fp32"}
    variants |= {name: _davis16(results, model, name)["variants"]["default"] for name in sorted(others, reverse=True)}
    for name, variant in variants.items():
        yield f"**average, {name}**", _cells(variant["average"])


def _cells(scores: dict[str, Any]) -> str:
    region, boundary = scores["J"]["mean"], scores["F"]["mean"]
    return f"{100 * region:.1f} | {100 * boundary:.1f} | {50 * (region + boundary):.1f}"


def _score(results: Path, model: str, precision: str) -> float:
    """J&F in percent, with the temporal filter."""
    return 100 * float(_davis16(results, model, precision)["variants"]["default"]["average"]["J&F"])


def _davis16(results: Path, model: str, precision: str) -> dict[str, Any]:
    return _load(results / f"davis16{_suffix(model)}{'' if precision == 'fp32' else f'-{precision}'}.json")


def _suffix(model: str) -> str:
    return "" if model == MODELS[0] else f"-{model}"


def _files(results: Path, model: str) -> list[Path]:
    """The ONNX files and the calibration table, in the repository that has `results`."""
    return sorted((results.parents[1] / "models" / "weights").glob(f"amcnet-{model}.*"))


def _load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded
