"""A stand-in for `segment_video` that fails as the source's name says; worker processes import it by its name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from amcnet.runtime.batch.worker import Finished, Progress, segment_video
from amcnet.runtime.errors import BackendError
from amcnet.runtime.frame import SourceInfo
from amcnet.runtime.infer import InferOptions
from amcnet.runtime.segmenter import Segmenter


def segment(options: InferOptions, segmenter: Segmenter, progress: Progress) -> Finished:
    fault = Path(options.source).stem.partition("-")[0]

    def after_frame(info: SourceInfo, done: int) -> None:
        progress(info, done)
        if done == 2 and fault in _FAULTS:
            _FAULTS[fault](Path(options.source))

    return segment_video(options, segmenter, after_frame)


def _crash(source: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)
    _hang(source)  # Ray's handler of the signal lets this thread go on for a while


def _hang(source: Path) -> None:
    while True:
        time.sleep(60)


def _bug(source: Path) -> None:
    raise RuntimeError("a mistake in the code")


def _gpu(source: Path) -> None:
    raise BackendError("the GPU has failed")


def _once(source: Path) -> None:
    """Crash in the first attempt only."""
    marker = source.with_suffix(".crashed")
    if not marker.exists():
        marker.touch()
        _crash(source)


_FAULTS = {"crash": _crash, "hang": _hang, "bug": _bug, "gpu": _gpu, "once": _once}
