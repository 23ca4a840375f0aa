"""`amc-check`: can this machine run that file, and what does it have at all?"""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import command
from .check import check_file, describe
from .machine import Machine

_EXAMPLES = """examples:
  amc-check                    what this machine has, and what is missing for what
  amc-check amcnet.engine      can it run here? reads the card and the hash, loads nothing
  amc-check amcnet.onnx

exit status: 0 it can run here, 1 it cannot, the sentence says why, 2 the file cannot be read
"""


@command
def main() -> int:
    parser = argparse.ArgumentParser(
        prog="amc-check",
        description="Say whether this machine can run an engine or an ONNX file.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="X.engine|X.onnx", help="none: describe the machine")
    file = parser.parse_args().file
    machine = Machine.here()
    if file is None:
        print("\n".join(describe(machine)))
        return 0
    verdict = check_file(file, machine)
    print(verdict.sentence)
    return 0 if verdict.can_run else 1
