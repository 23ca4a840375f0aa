"""Time and memory of the largest conversions: python -m amcnet.benchmarks.studies.conversion_speed

The export of the pipeline with ResNet-101 at 854x480, and the build of an FP16 engine of AMC-Net with ResNet-101 by
TensorRT-RTX, both with untrained weights, each in its own process. Exit status 1 above a limit: 90 s and 8 GB for the
export, 60 s for the build. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ...runtime.command import cli_entry_point
from ...runtime.errors import AmcNetError
from ...runtime.extras import require
from ...runtime.files.atomic import replacing

LIMITS = {"export": {"seconds": 90.0, "peak_gb": 8.0}, "build": {"seconds": 60.0}}
_EXPORT = "import sys; from amcnet.export.cli import main; sys.exit(main())"
_BUILD = "import sys; from amcnet.engines.cli import main; sys.exit(main())"


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    require("conversion_speed", "torch", "onnx", "onnxscript", "onnxruntime", "tensorrt_rtx")
    with tempfile.TemporaryDirectory() as folder:
        measured = {"export": run(_EXPORT, "pipeline", "--seed", "1", "-o", folder)}
        run(_EXPORT, "amcnet", "--seed", "1", "-o", folder)
        engine = ["--fp16", "--flavor", "tensorrt-rtx", "-o", f"{folder}/amcnet.engine"]
        measured["build"] = run(_BUILD, f"{folder}/amcnet.onnx", *engine)
    text = json.dumps({"measured": measured, "limits": LIMITS}, indent=2) + "\n"
    print(text, end="")
    if arguments.json:
        with replacing(arguments.json) as temporary:
            temporary.write_text(text)
    return int(bool(beyond(measured)))


def run(code: str, *arguments: str) -> dict[str, float]:
    """Wall seconds and peak memory in GB of a Python process that runs `code`. Raises AmcNetError if it fails."""
    # By the process itself: getrusage of a child begins with the peak of the process that forked it.
    reading, writing = os.pipe()
    report = f"import atexit, os; atexit.register(lambda: os.write({writing}, open('/proc/self/status', 'rb').read()))"
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", f"{report}\n{code}", *arguments], stdout=subprocess.DEVNULL, pass_fds=[writing]
    )
    os.close(writing)
    with os.fdopen(reading) as status:
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
    process.wait()
    seconds = time.perf_counter() - begin
    if process.returncode or found is None:
        raise AmcNetError(f"{' '.join(arguments)} failed: got exit status {process.returncode}, expected 0")
    return {"seconds": round(seconds, 1), "peak_gb": round(int(found[1]) * 1024 / 1e9, 2)}


def beyond(measured: dict[str, dict[str, float]]) -> list[str]:
    """The names of the values above their limits, such as "export seconds"."""
    return [
        f"{name} {figure}"
        for name, limits in LIMITS.items()
        for figure, limit in limits.items()
        if measured[name][figure] > limit
    ]


if __name__ == "__main__":
    sys.exit(main())
