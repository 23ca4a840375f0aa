"""`amc-check`: check whether this machine can run a file, or list its GPU, driver and libraries."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..command import cli_entry_point
from .check import check_file, describe
from .machine import Machine

_EXAMPLES = """examples:
  amc-check                    list this machine's GPU, driver and libraries, and what each of them allows
  amc-check amcnet.engine      check an engine by its card (amcnet.engine.json) and its hash; nothing is loaded
  amc-check amcnet.onnx        check an ONNX file

exit status: 0 the file can run here, 1 it cannot and the output says why, 2 the file cannot be read
"""


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(
        prog="amc-check",
        description="Check whether this machine can run a TensorRT engine or an ONNX file of this package.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="X.engine|X.onnx",
        help="file to check; without it, the machine is described",
    )
    file = parser.parse_args().file
    machine = Machine.here()
    if file is None:
        print("\n".join(describe(machine)))
        return 0
    verdict = check_file(file, machine)
    print(verdict.sentence)
    return 0 if verdict.can_run else 1
