"""Bytes of each kind of output: python -m amcnet.benchmarks.studies.output_sizes [--amcnet FILE] [--json FILE]

`amc-infer` with all kinds on the footage of `make demo`, 4 s of Big Buck Bunny, and the sizes of what it writes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from ...runtime.command import cli_entry_point
from ...runtime.infer import InferOptions, infer
from ...runtime.output.kinds import KINDS
from ...runtime.output.mask_files import read_mask
from ..demo import FOOTAGE


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--amcnet", type=Path, help="network exported with --with-attention (default: bundled)")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    results = measure(FOOTAGE, arguments.amcnet)
    for kind, row in results["kinds"].items():
        print(f"{kind}: {row['bytes']} bytes, {row['bytes_per_pixel']:.5f} per pixel")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def measure(clip: Path, amcnet: Path | None = None) -> dict[str, Any]:
    """Run `infer` with all kinds and the network `amcnet` on `clip`; returns the sizes and the bytes per pixel."""
    with tempfile.TemporaryDirectory() as folder:
        # FP32, whose masks do not depend on the instructions of the CPU.
        precision = "fp32" if amcnet is None else "auto"
        options = InferOptions(source=clip, output=folder, amcnet=amcnet, write=tuple(KINDS), precision=precision)
        report = infer(options)
        height, width = read_mask(Path(folder, "masks", "00000.png")).shape
    return {
        "clip": clip.name,
        "size": [width, height],
        "frames": report["frames"],
        "kinds": {
            kind: {
                "bytes": row["bytes"],
                "bytes_per_pixel": round(row["bytes"] / (report["frames"] * width * height), 6),
            }
            for kind, row in report["outputs"].items()
        },
    }


if __name__ == "__main__":
    sys.exit(main())
