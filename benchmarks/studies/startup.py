"""Start-up time of whole commands: python -m amcnet.benchmarks.studies.startup [--clip FILE] [--rounds N] [--json FILE]

`amc-infer` on a short clip, from the start of the process to the first mask on disk and to its end: with OpenVINO and
an empty (cold) or filled (warm) cache of compiled networks, and with ONNX Runtime. For comparison: Python importing the
libraries alone, and a command whose source does not exist. The commands alternate for `--rounds` rounds. Wall time
depends on the load of the machine, which is in the results; CPU time of the process hardly does. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.command import cli_entry_point
from ...runtime.machine_info import available_cores, processor_name
from ..demo_clip import write_clip

FRAMES = 104
INFER = "import sys; from amcnet.runtime.cli import main; sys.exit(main())"
WITHOUT_OPENVINO = "import sys; sys.modules['openvino'] = None\n"


@dataclass(frozen=True)
class Variant:
    """A command to time; precision None: run `code` without arguments."""

    code: str
    precision: str | None = None
    fills_cache: bool = False


VARIANTS = {
    "python, import cv2, av, onnxruntime": Variant("import cv2, av, onnxruntime"),
    "python, import cv2, av, openvino": Variant("import cv2, av, openvino, openvino.frontend.onnx"),
    "absent source": Variant("import sys; sys.argv.append('absent.mp4')\n" + INFER),
    "OpenVINO fp32, cold": Variant(INFER, "fp32", fills_cache=True),
    "OpenVINO fp32, warm": Variant(INFER, "fp32"),
    "OpenVINO int8, cold": Variant(INFER, "int8", fills_cache=True),
    "OpenVINO int8, warm": Variant(INFER, "int8"),
    "ONNX Runtime fp32": Variant(WITHOUT_OPENVINO + INFER, "fp32"),
    "ONNX Runtime int8": Variant(WITHOUT_OPENVINO + INFER, "int8"),
}


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="number of rounds (default: 7)")
    parser.add_argument("--clip", type=Path, help=f"a short video (default: a rendered clip, {FRAMES} frames)")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = arguments.clip or Path(folder) / "clip.mp4"
        if not arguments.clip:
            write_clip(clip, FRAMES)
        load_before = os.getloadavg()[0]
        rounds = [
            {name: _measure(variant, clip, Path(folder)) for name, variant in VARIANTS.items()}
            for _ in range(arguments.rounds)
        ]
    results: dict[str, Any] = {
        "rounds": arguments.rounds,
        "load_average": [load_before, os.getloadavg()[0]],
        "commands": {name: _medians([each[name] for each in rounds]) for name in VARIANTS},
        "machine": {"processor": processor_name(), "cores": available_cores()},
    }
    for name, figures in results["commands"].items():
        print(f"{name}: " + ", ".join(f"{key} {value:.2f}" for key, value in figures.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def _measure(variant: Variant, clip: Path, folder: Path) -> dict[str, float]:
    """Wall and CPU seconds from the start of the process to the first mask and to its end."""
    output, cache = folder / "out", folder / "cache"
    if variant.fills_cache:
        for file in cache.rglob("*.compiled"):
            file.unlink()
    arguments = (
        [] if variant.precision is None else [clip, "-o", output, "--overwrite", "--precision", variant.precision]
    )
    first_mask = output / "masks" / "00000.png"
    first_mask.unlink(missing_ok=True)
    figures = {}
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", variant.code, *map(str, arguments)],
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while arguments and not first_mask.exists() and process.poll() is None:
        time.sleep(0.002)
    if arguments:
        figures["first_mask_s"] = time.perf_counter() - begin
        figures["first_mask_processor_s"] = _processor_seconds(process.pid)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    figures |= {"end_s": time.perf_counter() - begin, "processor_s": usage.ru_utime + usage.ru_stime}
    return figures


def _processor_seconds(process: int) -> float:
    """CPU seconds of `process` from /proc; 0 if it has ended."""
    with suppress(OSError):
        user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _medians(measured: list[dict[str, float]]) -> dict[str, float]:
    """Median and minimum of each value."""
    medians = {key: statistics.median(each[key] for each in measured) for key in measured[0]}
    return medians | {f"least_{key}": min(each[key] for each in measured) for key in measured[0]}


if __name__ == "__main__":
    sys.exit(main())
