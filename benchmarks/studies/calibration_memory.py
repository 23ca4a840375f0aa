"""Peak memory of calibration: python -m amcnet.benchmarks.studies.calibration_memory MODEL.onnx --clips CLIP...

One `amc-calibrate --target cpu` process with `--frames` frames: ranges, INT8 file, and its comparison with MODEL.onnx
(with `--min-iou 0`, since untrained networks fail the accuracy check). Exit status 1 above 4096 MiB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from ...runtime.command import cli_entry_point
from ...runtime.errors import AmcNetError

_LIMIT_MIB = 4096
_CALIBRATE = "import sys; from amcnet.calibration.cli import main; sys.exit(main())"


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--clips", nargs="+", required=True, metavar="CLIP", help="clips to calibrate with")
    parser.add_argument("--frames", type=int, default=200, help="number of frames (default: 200)")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "model.int8.onnx"
        options = ["--target", "cpu", "--frames", str(arguments.frames), "--min-iou", "0", "-o", str(output)]
        calibrate = [sys.executable, "-c", _CALIBRATE, str(arguments.model), "--clips", *arguments.clips, *options]
        if status := subprocess.run(calibrate, check=False).returncode:
            raise AmcNetError(f"amc-calibrate failed: got exit status {status}, expected 0; its error is above")
        table = json.loads(output.with_suffix(".json").read_text())
    peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    results = {
        "model_sha256": table["model_sha256"],
        "frames": table["frames"],
        "tensors": len(table["tensors"]),
        "peak_mib": peak_mib,
        "limit_mib": _LIMIT_MIB,
    }
    print(json.dumps(results, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0 if peak_mib <= _LIMIT_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
