"""Fill in the figures of README.md and docs/*.md from the committed measurements.

    python -m amcnet.benchmarks.studies.readme_figures [--check]

Writes the text between `<!-- begin NAME -->` and `<!-- end NAME -->` for each NAME of `SECTIONS`, from
benchmarks/results: davis16*.json, temporal.json, ablation.json, run-*.json (each the run.json of an
`amc-infer` run), operators.json, cpu-speed*.json, int8.json; cpu.json and cpu-paper.json, the reports of amc-bench;
h200.json and h200-paper.json of gpu_check, h200-correlation.json; startup.json; bf16.json; pwcnet-openvino.json;
output-sizes.json; flow.json; flow-presets.json; batch.json; raft-int8.json; cpu-correlation.json; resolutions.json;
peer-loops.json; frames-at-once.json.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...runtime.command import cli_entry_point
from ...runtime.errors import AmcNetError
from ...runtime.output.kinds import KINDS
from ._batch_figures import batch_table, throughput_line
from ._flow_figures import flow_presets_table, flow_table, lookup_table, raft_int8_table
from ._model_figures import goals_table, quality_table, summary_table
from ._quality_figures import ablation_table, temporal_table
from ._speed_figures import frames_at_once_table, peers_table, resolutions_table

_BLOCK = re.compile(r"(<!-- begin (\S+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("."), help="the repository (default: current folder)")
    parser.add_argument("--check", action="store_true", help="change nothing; status 2 if a document is out of date")
    arguments = parser.parse_args()
    for path, updated in documents_with_figures(arguments.root).items():
        if updated != path.read_text():
            if arguments.check:
                raise AmcNetError(f"{path}: its figures differ from benchmarks/results. Fix: run this without --check")
            path.write_text(updated)
    return 0


def documents_with_figures(root: Path) -> dict[Path, str]:
    """README.md and docs/*.md under `root` -> their texts with all figures updated.

    Raises AmcNetError for a section of `SECTIONS` that is in no document or in two.
    """
    paths = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    texts = {path: path.read_text() for path in paths}
    found = [match[2] for text in texts.values() for match in _BLOCK.finditer(text)]
    if sorted(found) != sorted(SECTIONS):
        raise AmcNetError(
            f"the documents have the sections {', '.join(sorted(found))}; expected each of "
            f"{', '.join(sorted(SECTIONS))} once. Fix: add <!-- begin NAME --> and <!-- end NAME -->"
        )
    results = root / "benchmarks" / "results"
    return {path: with_figures(text, results) for path, text in texts.items()}


def with_figures(text: str, results: Path) -> str:
    """`text` with each of its sections filled in from the measurements in `results`."""
    return _BLOCK.sub(lambda match: f"{match[1]}{SECTIONS[match[2]](results)}{match[3]}", text)


def _speed(results: Path) -> str:
    """Median ms per frame and stage of whole runs."""
    runs = {path.stem.removeprefix("run-"): _load(path) for path in sorted(results.glob("run-*.json"))}
    stages = list(next(iter(runs.values()))["latency_ms"])
    lines = ["| run | frames | ms per frame | " + " | ".join(stages) + " |", "|---|---|---|" + "---|" * len(stages)]
    for name, report in runs.items():
        times = " | ".join(f"{report['latency_ms'][stage]['p50']:.1f}" for stage in stages)
        lines.append(f"| {name} | {report['frames']} | {1e3 / report['fps']:.1f} | {times} |")
    machines = {f"{run['backend']} of {run['machine']['processor']}" for run in runs.values()}
    lines.append(f"\n{'; '.join(sorted(machines))}.")
    return "\n".join(lines) + "\n"


def _bench(results: Path) -> str:
    """Latency of the networks alone by library, from the reports of amc-bench."""
    reports = [_load(results / name) for name in ("cpu.json", "cpu-paper.json")]
    lines = ["| network alone, all cores | runtime | p50 ms | ratio to amcnet |", "|---|---|---|---|"]
    for network in (network for report in reports for network in report["networks"]):
        size = "x".join(map(str, network["size"]))
        for row in network["rows"]:
            latency, ours = row["latency"], network["rows"][0]["latency"]["p50_ms"]
            mark = "" if row["stable"] else " (unstable)"
            times = f"{latency['p50_ms'] / ours:.2f}" if row is not network["rows"][0] else ""
            figures = f"{latency['p50_ms']:.1f}{mark} | {times}"
            lines.append(f"| {network['name']}, {size} | {row['runtime']} | {figures} |")
    return "\n".join(lines) + "\n"


def _ratios(results: Path) -> str:
    """Speedup of each design choice, as ratios within one run."""
    rows = _load(results / "operators.json")
    whole = _load(results / "cpu-speed-light-bf16.json")["amc-infer"]
    rows |= {
        f"ONNX Runtime FP32 / {_upper(name)}, whole `amc-infer`": row
        for name, row in whole.items()
        if row["ratio"] != 1
    }
    flow = _load(results / "pwcnet-openvino.json")["networks"]
    rows |= {f"ONNX Runtime FP32 / OpenVINO FP32, {name}": row for name, row in flow.items()}
    int8 = _load(results / "int8.json")["networks"]
    rows |= {f"FP32 / INT8, {name}": row for name, row in int8.items()}
    lines = ["| forms compared | ratio (least to most) |", "|---|---|"]
    for name, row in rows.items():
        lines.append(f"| {name} | {row['ratio']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f}) |")
    return "\n".join(lines) + "\n"


def _startup(results: Path) -> str:
    """Processor time of whole commands to the first mask and to the end."""
    startup = _load(results / "startup.json")
    lines = ["| command | processor s to the first mask | processor s in total |", "|---|---|---|"]
    for name, row in startup["commands"].items():
        first = f"{row['first_mask_processor_s']:.1f}" if "first_mask_processor_s" in row else ""
        lines.append(f"| {name} | {first} | {row['processor_s']:.1f} |")
    machine, load = startup["machine"], " to ".join(f"{load:.0f}" for load in sorted(startup["load_average"]))
    lines.append(
        f"\nMedians of {startup['rounds']} runs; {machine['cores']} cores of {machine['processor']}, load {load}."
    )
    return "\n".join(lines) + "\n"


def _outputs(results: Path) -> str:
    """The file and the use of each kind of output, and its size for the demo footage."""
    sizes = _load(results / "output-sizes.json")
    width, height = sizes["size"]
    lines = [f"| kind | file | for | kB, {sizes['frames']} frames of {width}x{height} |", "|---|---|---|---|"]
    for name, kind in KINDS.items():
        file = f"{kind.path}/NNNNN.png" if kind.is_folder else kind.path
        lines.append(f"| `{name}` | `{file}` | {kind.purpose} | {sizes['kinds'][name]['bytes'] / 1000:.0f} |")
    return "\n".join(lines) + "\n"


def _gpu(results: Path) -> str:
    """Latency and accuracy of each file on the GPU, and the upper bound of the speedup by a correlation kernel."""
    checks = [_load(results / name) for name in ("h200.json", "h200-paper.json")]
    gpu = checks[0]["environment"]["gpu"].partition(" (")[0]
    lines = [f"| network on an {gpu} | runtime | ms per call | of which on the GPU | mean mask IoU with the CPU |"]
    lines.append("|---|---|---|---|---|")
    for check in checks:
        for file, backends in check["results"].items():
            for backend, row in backends.items():
                times = f"{row['call']['p50_ms']:.1f} | {row['gpu_ms']['network']['p50']:.1f}"
                lines.append(f"| {file} | {_upper(backend)} | {times} | {row['fidelity']['mean_iou']:.4f} |")
    lines += ["", "| PWC-Net, same GPU | ms per call | with zero-cost correlation | upper bound of the speedup |"]
    lines.append("|---|---|---|---|")
    for name, row in _load(results / "h200-correlation.json")["networks"].items():
        times = f"{row['ours_ms']:.2f} | {row['free_ms']:.2f}"
        lines.append(f"| {name.removeprefix('PWC-Net ')} | {times} | {row['ratio']:.2f} |")
    return "\n".join(lines) + "\n"


def _upper(name: str) -> str:
    """ "OpenVINO int8" -> "OpenVINO INT8"."""
    return name.replace("fp32", "FP32").replace("fp16", "FP16").replace("int8", "INT8").replace("bf16", "BF16")


def _load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def _bf16(results: Path) -> str:
    """Accuracy, speed and start-up of the bundled network in OpenVINO by precision."""
    study = _load(results / "bf16.json")
    lines = ["| | mean IoU with FP32 | J | processor ms per frame | FP32 / this | s to load | s to load, cached |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name, row in study["precisions"].items():
        ratio = f"{row['ratio']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})" if name != "fp32" else ""
        accuracy = f"{row['mean_iou']:.4f} | {100 * row['J']:.1f}"
        times = f"{row['processor_ms']:.1f} | {ratio} | {row['cold_s']:.1f} | {row['warm_s']:.1f}"
        lines.append(f"| {name.upper()} | {accuracy} | {times} |")
    frames, machine = study["frames"], study["machine"]
    lines.append(
        f"\n{frames['count']} frames of {len(frames['sequences'])} sequences; processor time in one thread of "
        f"{machine['processor']}, medians."
    )
    return "\n".join(lines) + "\n"


SECTIONS: dict[str, Callable[[Path], str]] = {
    "summary": summary_table,
    "quality": quality_table,
    "goals": goals_table,
    "temporal": temporal_table,
    "ablation": ablation_table,
    "speed": _speed,
    "resolutions": resolutions_table,
    "peers": peers_table,
    "frames-at-once": frames_at_once_table,
    "bench": _bench,
    "ratios": _ratios,
    "startup": _startup,
    "bf16": _bf16,
    "outputs": _outputs,
    "flow": flow_table,
    "flow-presets": flow_presets_table,
    "batch": batch_table,
    "throughput": throughput_line,
    "gpu": _gpu,
    "raft-int8": raft_int8_table,
    "lookup": lookup_table,
}


if __name__ == "__main__":
    sys.exit(main())
