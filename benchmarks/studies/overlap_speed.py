"""What running the stages beside each other gains: python -m amcnet.benchmarks.studies.overlap_speed [--json FILE]

`amc-infer`'s work on a clip of 854x480, decode to written masks and overlay, in turn with its stages overlapping and
one after the other. What counts is the median of the ratios of neighboring runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self
from unittest import mock

from ...runtime import mask_networks, segmenter
from ...runtime.backends.base import Backend
from ...runtime.backends.open_backend import open_backend
from ...runtime.command import cli_entry_point
from ...runtime.files.onnx_file import OnnxFile
from ...runtime.infer import InferOptions, infer
from ...runtime.machine_info import available_cores
from ..demo_clip import write_clip


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--amcnet", type=Path, help="ONNX file (the embedded default)")
    parser.add_argument("--frames", type=int, default=96, help="of the clip (96)")
    parser.add_argument("--runs", type=int, default=5, help="of each way (5)")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        write_clip(clip, arguments.frames)
        options = InferOptions(source=clip, output=Path(folder) / "out", amcnet=arguments.amcnet, overwrite=True)
        infer(options)  # warms up caches
        pairs = [(_in_turn(options), infer(options)) for _ in range(arguments.runs)]
    ratios = [in_turn["seconds"] / overlapping["seconds"] for in_turn, overlapping in pairs]
    results = {
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "in_turn_ms_per_frame": statistics.median(1e3 / report["fps"] for report, _ in pairs),
        "overlapping_ms_per_frame": statistics.median(1e3 / report["fps"] for _, report in pairs),
        "backend": pairs[0][1]["backend"],
        "machine": pairs[0][1]["machine"],
        "latency_ms": {"in turn": pairs[-1][0]["latency_ms"], "overlapping": pairs[-1][1]["latency_ms"]},
    }
    print(f"in turn / overlapping: {results['ratio']:.2f} ({results['ratio_min']:.2f} to {results['ratio_max']:.2f})")
    print(f"ms per frame: {results['in_turn_ms_per_frame']:.1f} / {results['overlapping_ms_per_frame']:.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


class _AtOnce:
    """In place of a pool of threads: does each task where it is submitted."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, task: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(task(*arguments))
        return future


def _in_turn(options: InferOptions) -> dict[str, Any]:
    """One stage after the other, the network on all cores."""

    def on_all_cores(file: OnnxFile, threads: int, device: str) -> Backend:
        return open_backend(file, available_cores(), device)

    with (
        mock.patch.object(segmenter, "prefetch", lambda items: (item for item in items)),
        mock.patch.object(mask_networks, "prefetch", lambda items: (item for item in items)),
        mock.patch.object(mask_networks, "ThreadPoolExecutor", _AtOnce),
        mock.patch.object(mask_networks, "open_backend", on_all_cores),
    ):
        return infer(options)


if __name__ == "__main__":
    sys.exit(main())
