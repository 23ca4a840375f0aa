"""Segmentation of a video into a folder of masks, an overlay video and a report, as `amc-infer` does."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from .backends.base import NetworkFile
from .errors import InputError
from .files.onnx_file import CHECKPOINT_SHA256, file_sha256
from .flow.flow import Flow
from .frame import MaskFrame, SourceInfo
from .machine_info import processor_name
from .output.frame_list import FrameList, mask_names
from .output.mask_files import read_mask, write_mask, write_probability
from .output.overlay import OverlayWriter
from .output.run_folder import RunFolder
from .segmenter import Segmenter
from .segmenter_plan import SegmenterPlan
from .stage_times import StageTimes
from .trt.card import EngineFile, card_path
from .version import __version__
from .video.reader import FrameReader, open_frames

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class InferOptions:
    """Options of `infer`; each is a flag of `amc-infer` with the same name."""

    source: str | Path
    output: str | Path
    amcnet: str | Path | None = None
    engine: str | Path | None = None
    trust: bool = False
    flow: str | Path = "dis"
    threshold: float = 0.5
    probability: bool = False
    crf: bool = False
    device: str = "cpu"
    precision: str = "auto"
    start: int = 0
    frames: int | None = None
    stride: int = 1
    video_stream: int | None = None
    deinterlace: str = "auto"
    names: str = "index"
    resume: bool = False
    overwrite: bool = False


def infer(
    options: InferOptions,
    progress: Callable[[SourceInfo, int], None] = lambda info, done: None,
    *,
    segmenter: Segmenter | None = None,
    source_name: str | None = None,
) -> dict[str, Any]:
    """Write the masks, the overlay and run.json; return the content of run.json.

    `progress(info, frames_done)` is called after each frame. Nothing is written before the first mask is there. A run
    that ends early after that, by an error or Ctrl-C, leaves all finished masks, a playable overlay and run.json with
    "complete": false. `segmenter`, loaded with the same options, is used and left open; by default one is loaded for
    this run. `source_name` names the source in run.json if `options.source` is a temporary copy of it. What can be
    checked without a network is checked before one is loaded. Raises the errors of `Segmenter.load`, `open_frames` and
    OutputError.
    """
    with (
        open_frames(
            options.source,
            start=options.start,
            frames=options.frames,
            stride=options.stride,
            video_stream=options.video_stream,
            deinterlace=options.deinterlace,
        ) as reader,
        ExitStack() as loaded,
    ):
        name = mask_names(reader.info, options.names)
        folder = RunFolder(Path(options.output), name)
        plan = segmenter.plan if segmenter else _plan(options, reader.info.expected_frames)
        report = _report(options, plan, source_name)
        finished = folder.finished(report["settings"], resume=options.resume, overwrite=options.overwrite)
        if options.resume and (earlier := folder.complete_report()) and finished >= earlier["frames"]:
            return earlier | {"notes": [*earlier["notes"], "the run was complete already; nothing was done"]}
        folder.require_writable()
        flow = loaded.enter_context(segmenter.open_flow(reader) if segmenter else plan.open_flow(reader))
        segmenter = segmenter or loaded.enter_context(Segmenter.open(plan))
        report["backend"] = segmenter.network.name
        # Two masks are computed again: the flow of the last frame is that of the pair before it, which must exist.
        kept = max(finished - 2, 0)

        listed = FrameList(info=reader.info, name=name, start=options.start, stride=options.stride)
        times, begin, done = StageTimes(), time.perf_counter(), 0
        with closing(_masks(segmenter, reader, flow, times, folder, kept)) as masks:
            first = next(masks)
            folder.begin(report, finished)
            overlay = OverlayWriter(folder.overlay, reader.info)
            try:
                with overlay:
                    for m in chain([first], masks):
                        if m.index >= kept:
                            with times("write masks"):
                                write_mask(folder.masks, m.index, m.mask, name)
                                if options.probability:
                                    write_probability(folder.probabilities, m.index, m.probability, name)
                        with times("write overlay"):
                            overlay.write(m.frame, m.mask)
                        listed.add(m.index, m.pts_seconds)
                        done += 1
                        progress(reader.info, done)
                report["complete"] = True
            finally:
                seconds = time.perf_counter() - begin
                report |= _results(reader, overlay, times, frames=done, computed=max(done - kept, 0), seconds=seconds)
                report |= listed.report()
                if listed.is_long:
                    folder.write_frame_list(listed.csv())
                folder.write_report(report)
    return report


def _plan(options: InferOptions, frames: int | None) -> SegmenterPlan:
    return SegmenterPlan.make(
        options.amcnet,
        engine=options.engine,
        trust=options.trust,
        flow=options.flow,
        threshold=options.threshold,
        crf=options.crf,
        device=options.device,
        precision=options.precision,
        frames=frames,
    )


def _masks(
    segmenter: Segmenter, reader: FrameReader, flow: Flow | None, times: StageTimes, folder: RunFolder, kept: int
) -> Generator[MaskFrame, None, None]:
    """The masks of all frames of `reader`; the first `kept` ones are read from the files of an earlier run."""
    for frame in islice(reader, kept):
        path = folder.masks / folder.name(frame.index)
        mask = read_mask(path)
        (height, width), (mask_height, mask_width) = frame.pixels.shape[:2], mask.shape
        if (mask_width, mask_height) != (width, height):
            raise InputError(
                f"{path} is {mask_width}x{mask_height}, its frame {width}x{height}; expected the same size. "
                "The source has changed: start again with --overwrite"
            )
        yield MaskFrame(frame, mask, mask.astype(np.float32))
    with closing(segmenter.masks(reader, flow, times)) as masks:
        yield from masks


def _report(options: InferOptions, plan: SegmenterPlan, source_name: str | None) -> dict[str, Any]:
    """Content of run.json during the run; a run is resumed only if `settings` are equal."""
    source = Path(options.source)
    return {
        "schema": SCHEMA,
        "complete": False,
        "settings": {
            "source": source_name or str(options.source),
            "source_bytes": source.stat().st_size if source.is_file() else None,
            "start": options.start,
            "frames": options.frames,
            "stride": options.stride,
            "video_stream": options.video_stream,
            "deinterlace": options.deinterlace,
            "names": options.names,
            "threshold": options.threshold,
            "probability": options.probability,
            "crf": options.crf,
            "device": options.device,
            "flow": "inside" if plan.flow is None else plan.flow.name,
            "files": {name: _describe(file) for name, file in plan.files.items()},
        },
        "backend": None,
        "machine": {"processor": processor_name(), "cores": os.cpu_count()},
        "versions": {
            "amcnet": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "pyav": av.__version__,
        },
    }


def _describe(file: NetworkFile) -> dict[str, Any]:
    described = {
        "name": file.path.name,
        "sha256": file.sha256(),
        "precision": file.precision,
        "checkpoint_sha256": file.metadata[CHECKPOINT_SHA256],
        "trained": not file.untrained,
    }
    if isinstance(file, EngineFile):
        described |= {"card_sha256": file_sha256(card_path(file.path)), "onnx_sha256": file.card.onnx_sha256}
    return described


def _results(
    reader: FrameReader, overlay: OverlayWriter, times: StageTimes, *, frames: int, computed: int, seconds: float
) -> dict[str, Any]:
    return {
        "truncated": reader.truncated is not None,
        "notes": [*([reader.truncated] if reader.truncated else []), *reader.notes, *overlay.notes],
        "frames": frames,
        "computed_frames": computed,
        "seconds": round(seconds, 3),
        "fps": round(computed / seconds, 3),
        "latency_ms": times.quantiles_ms(),
    }
