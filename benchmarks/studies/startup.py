"""Time of whole commands: python -m amcnet.benchmarks.studies.startup [--clip FILE] [--rounds N] [--json FILE]

`amc-infer` on a short clip, from the start of the process to the first mask on the disk and to the end, with OpenVINO
whose cache of compiled networks is empty (cold) or filled by the run before (warm), and with ONNX Runtime; beside the
start of Python with the libraries that each command needs, and a command whose source does not exist. All run in turn,
`--rounds` times. Wall time depends on what else the machine does (the load average is in the results); the processor
time, of the process alone, hardly does. For Linux.
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
_INFER = "import sys; from amcnet.runtime.cli import main; sys.exit(main())"
_WITHOUT_OPENVINO = "import sys; sys.modules['openvino'] = None\n"


@dataclass(frozen=True)
class Variant:
    """A command to time; `precision` None: of the code alone, without arguments."""

    code: str
    precision: str | None = None
    fills_cache: bool = False


VARIANTS = {
    "python, import cv2, av, onnxruntime": Variant("import cv2, av, onnxruntime"),
    "python, import cv2, av, openvino": Variant("import cv2, av, openvino, openvino.frontend.onnx"),
    "absent source": Variant("import sys; sys.argv.append('absent.mp4')\n" + _INFER),
    "OpenVINO fp32, cold": Variant(_INFER, "fp32", fills_cache=True),
    "OpenVINO fp32, warm": Variant(_INFER, "fp32"),
    "OpenVINO int8, cold": Variant(_INFER, "int8", fills_cache=True),
    "OpenVINO int8, warm": Variant(_INFER, "int8"),
    "ONNX Runtime fp32": Variant(_WITHOUT_OPENVINO + _INFER, "fp32"),
    "ONNX Runtime int8": Variant(_WITHOUT_OPENVINO + _INFER, "int8"),
}


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="(7)")
    parser.add_argument("--clip", type=Path, help=f"a short video (the demo's, {FRAMES} frames)")
    parser.add_argument("--json", type=Path, help="write the figures there")
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
    """Seconds from the start to the first mask and to the end, and of the processor; `frames` that were made."""
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
    """What `process` has used so far, from Linux's /proc; 0 for one that has ended."""
    with suppress(OSError):
        user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _medians(measured: list[dict[str, float]]) -> dict[str, float]:
    """Of each figure the median, and the least."""
    medians = {key: statistics.median(each[key] for each in measured) for key in measured[0]}
    return medians | {f"least_{key}": min(each[key] for each in measured) for key in measured[0]}


if __name__ == "__main__":
    sys.exit(main())
