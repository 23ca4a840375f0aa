"""How much memory calibrating takes: python -m amcnet.benchmarks.calibration_memory MODEL.onnx --clips CLIP...

MODEL.onnx in FP32 is calibrated with `--frames` frames of the clips, as `calibrate` does it, and written in int8. The
peak is of this process from its start to the end, so that what was exported before it does not count.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .. import command
from ..calibration import calibrate
from ..export.onnx_file import OnnxFile
from ..runtime.clip_inputs import ClipInputs
from ..runtime.telling_frames import choose_frames

_LIMIT_MIB = 4096


class _Feeds:
    """The inputs of the chosen frames, made anew and one at a time whenever they are gone through."""

    def __init__(self, inputs: ClipInputs) -> None:
        self._inputs = inputs

    def __iter__(self) -> Iterator[Mapping[str, NDArray[Any]]]:
        return (item.inputs for item in self._inputs)


@command
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--clips", nargs="+", required=True, metavar="CLIP", help="frames to calibrate with")
    parser.add_argument("--frames", type=int, default=200, help="(200)")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    source = OnnxFile.read(arguments.model)
    chosen = choose_frames(arguments.clips, arguments.frames)
    with tempfile.TemporaryDirectory() as folder:
        feeds = _Feeds(ClipInputs(source, arguments.clips, chosen=chosen))
        done = calibrate(source.path, Path(folder) / "x.int8.onnx", feeds, target="cpu")
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    results = {
        "model": source.path.name,
        "inputs": {name: list(value.shape) for name, value in next(iter(feeds)).items()},
        "frames": done.table.frames,
        "tensors": len(done.table.tensors),
        "peak_mib": peak_mib,
        "limit_mib": _LIMIT_MIB,
    }
    print(json.dumps(results, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0 if peak_mib <= _LIMIT_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
