"""A process that loads the network once and segments the videos it receives, one after the other."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any, Protocol

from ..errors import AmcNetError, InputError, OutputError
from ..frame import SourceInfo
from ..freed_memory import keep_freed_memory
from ..infer import InferOptions, infer
from ..interrupt import SIGNALS
from ..output.run_folder import RunFolder
from ..segmenter import Segmenter
from .local_run import local_run
from .mask_samples import mask_samples
from .options import segmenter_arguments

_MESSAGE_EVERY_SECONDS = 0.2
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

Progress = Callable[[SourceInfo, int], None]
Segment = Callable[[InferOptions, Segmenter, Progress], "Finished"]


@dataclass(frozen=True)
class Loaded:
    """The network is loaded; videos can be sent."""


@dataclass(frozen=True)
class CannotLoad:
    message: str


@dataclass(frozen=True)
class Frames:
    """So many frames of the video are done, of `expected`, None if that is not known."""

    done: int
    expected: int | None


@dataclass(frozen=True)
class Finished:
    """`notes` are those of run.json, `images` those of `mask_samples`."""

    frames: int
    seconds: float
    notes: list[str] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Failed:
    """`ends`: the process ends too, because its state after the error is not known."""

    message: str
    ends: bool


@dataclass(frozen=True)
class Stopped:
    """The video was left after a frame, resumable, because any message came while it was segmented."""


@dataclass(frozen=True)
class Waiting:
    """No message after all."""


@dataclass(frozen=True)
class Lost:
    """The machine of the process was lost; its video, if it had one, can be continued elsewhere."""


def segment_video(options: InferOptions, segmenter: Segmenter, progress: Progress) -> Finished:
    """Segment one video; its source and output may be addresses.

    Raises the errors of `infer`, and whatever `progress` raises.
    """
    with local_run(options) as local:
        infer(local, progress, segmenter=segmenter, source_name=str(options.source))
        output = Path(local.output)
        report = json.loads((output / "run.json").read_text())  # not what infer returned: that has notes on resuming
        images = []
        if "masks" in report["outputs"]:
            images = mask_samples([output / "masks" / name for name in RunFolder(output).listed_masks()])
    return Finished(report["frames"], report["seconds"], report["notes"], images)


def run_worker(
    channel: connection.Connection[Any, Any],
    options: InferOptions,
    cores: Sequence[int],
    scratch: str,
    segment: Segment,
) -> None:
    """Load the network that `options` name, then segment each `InferOptions` that comes by `channel`, until None.

    Answers Loaded or CannotLoad, then for each video Frames several times and Finished, Failed or Stopped. `cores` are
    the processors to use, all that there are if it is empty. Temporary files are made in the folder `scratch`. The
    process ends with its parent.
    """
    for number in SIGNALS:  # Ctrl-C reaches all processes of a terminal, `timeout` signals a group; the parent acts
        signal.signal(number, signal.SIG_IGN)
    _end_with_parent()
    keep_freed_memory()
    tempfile.tempdir = scratch
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    try:
        segmenter = Segmenter.load(**segmenter_arguments(options))
    except AmcNetError as error:
        channel.send(CannotLoad(str(error)))
        return
    with segmenter:
        channel.send(Loaded())
        while (video := channel.recv()) is not None:
            answer = segment_one(channel, video, segmenter, segment)
            channel.send(answer)
            if isinstance(answer, Stopped) or (isinstance(answer, Failed) and answer.ends):
                return


class Channel(Protocol):
    """What a worker needs of its connection during a video."""

    def poll(self) -> bool: ...

    def send(self, message: Any, /) -> None: ...


def segment_one(
    channel: Channel, options: InferOptions, segmenter: Segmenter, segment: Segment
) -> Finished | Failed | Stopped:
    """Segment one video and turn its errors into messages; meanwhile send Frames, and stop if any message comes."""
    last_seconds = 0.0

    def after_frame(info: SourceInfo, done: int) -> None:
        nonlocal last_seconds
        if channel.poll():
            raise KeyboardInterrupt
        now = time.monotonic()
        if done == 1 or now - last_seconds >= _MESSAGE_EVERY_SECONDS:
            last_seconds = now
            channel.send(Frames(done, info.expected_frames))

    try:
        return segment(options, segmenter, after_frame)
    except KeyboardInterrupt:
        return Stopped()
    except (InputError, OutputError) as error:
        return Failed(str(error), ends=False)
    except AmcNetError as error:  # of the library or the GPU
        return Failed(str(error), ends=True)
    except Exception as error:
        traceback.print_exc()
        return Failed(f"unexpected {type(error).__name__}: {error}", ends=True)


def _end_with_parent() -> None:
    """End this process when the parent ends, however that happens; on Linux by the kernel, at once."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = parent_process()
    if parent is None:
        return

    def wait() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, name="amcnet parent", daemon=True).start()
