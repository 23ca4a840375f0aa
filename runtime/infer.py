"""Segmentation of a video into a folder of masks, videos and a report, as `amc-infer` does."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, fields
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
from .output.disk_space import describe, estimate_bytes, require_space
from .output.frame_list import FrameList, mask_names
from .output.kinds import explains
from .output.mask_files import read_gray
from .output.matte import Matte
from .output.run_folder import RunFolder
from .output.run_outputs import RunOutputs
from .segmenter import Segmenter
from .segmenter_plan import SegmenterPlan
from .stage_times import StageTimes
from .trt.card import EngineFile, card_path
from .version import __version__
from .video.network import public_name
from .video.reader import FrameReader
from .video.selection import Selection
from .video.source_file import source_file

SCHEMA = 2
_ANNOUNCED_BYTES = 2**30
_STILL = "hardly anything moves: the masks rest on appearance alone"


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
    write: tuple[str, ...] = ("masks", "overlay")
    soft_edges: tuple[float, float] | None = None
    background: str | Path | None = None
    crf: bool = False
    temporal: bool = True
    device: str = "cpu"
    precision: str = "auto"
    model: str = "light"
    start: int = 0
    frames: int | None = None
    stride: int = 1
    duration: float | None = None
    video_stream: int | None = None
    deinterlace: str = "auto"
    names: str = "index"
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        _ = self.selection  # so that a value out of range is an error here, before a batch begins

    @property
    def selection(self) -> Selection:
        """The frames of `source` to segment. Raises InputError for a value out of range."""
        return Selection(**{field.name: getattr(self, field.name) for field in fields(Selection)})


def infer(
    options: InferOptions,
    progress: Callable[[SourceInfo, int], None] = lambda info, done: None,
    *,
    segmenter: Segmenter | None = None,
    announce: Callable[[str], None] = lambda sentence: None,
    source_name: str | None = None,
) -> dict[str, Any]:
    """Write the outputs that `options.write` names, and run.json; return the content of run.json.

    `progress(info, frames_done)` is called after each frame. `announce(sentence)` is called before anything is written,
    if the outputs will take 1 GiB or more. Nothing is written before the first mask is there. A run that ends early
    after that, by an error or Ctrl-C, leaves all finished masks, playable videos and run.json with "complete": false.
    `segmenter`, loaded with the same options, is used and left open; by default one is loaded for this run.
    `source_name` names the source in run.json if `options.source` is a temporary copy of it. What can be
    checked without a network is checked before one is loaded. Raises the errors of `Segmenter.load`, `open_frames` and
    OutputError.
    """
    with (
        FrameReader.open(options.source, options.selection) as reader,
        ExitStack() as loaded,
    ):
        name = mask_names(reader.info, options.names)
        plan = segmenter.plan if segmenter else _plan(options, reader.info.expected_frames)
        outputs = RunOutputs(
            options.write,
            Path(options.output),
            reader.info,
            threshold=plan.threshold,
            soft_edges=options.soft_edges,
            background=options.background,
            name=name,
        )
        folder = RunFolder(Path(options.output), name, outputs.store)
        report = _report(options, plan, outputs.kinds, source_name)
        finished = folder.finished(report["settings"], resume=options.resume, overwrite=options.overwrite)
        if options.resume and (earlier := folder.complete_report(finished)):
            return earlier | {"notes": [*earlier["notes"], "the run was complete already; nothing was done"]}
        folder.require_writable()
        folder.require_apart(options.source)
        flow = loaded.enter_context(segmenter.open_flow(reader) if segmenter else plan.open_flow(reader))
        segmenter = segmenter or loaded.enter_context(Segmenter.open(plan))
        report["backend"] = segmenter.network.name
        # Two masks are computed again: the flow of the last frame is that of the pair before it, which must exist. With
        # explanations all masks are, because the stored ones hold no scores.
        kept = 0 if explains(outputs.kinds) else max(finished - 2, 0)

        listed = FrameList(info=reader.info, name=name, start=options.start, stride=options.stride)
        times, begin, done = StageTimes(), time.perf_counter(), 0
        with closing(_masks(segmenter, reader, flow, times, folder, kept, outputs.matte)) as masks:
            first = next(masks)
            report["estimated_bytes"] = _require_space(folder, outputs.kinds, reader, first, announce)
            loaded.enter_context(folder.locked())
            folder.begin(report, finished)
            try:
                with outputs:
                    for m in chain([first], masks):
                        outputs.write(m, times, kept)
                        listed.add(m.index, m.pts_seconds)
                        done += 1
                        progress(reader.info, done)
                report["complete"] = True
            finally:
                seconds = time.perf_counter() - begin
                report |= _results(reader, outputs, times, frames=done, computed=max(done - kept, 0), seconds=seconds)
                report |= listed.report() | {"outputs": folder.outputs(outputs.kinds)}
                report["median_flow_px"] = flow.amount.median_px if flow else None
                if flow and flow.amount.hardly_any:
                    report["notes"].append(f"{reader.info.name}: {_STILL}")
                if options.temporal and not plan.temporal:
                    report["notes"].append(f"no temporal filter: {plan.file.path.name} computes its flow itself")
                if listed.is_long:
                    folder.write_frame_list(listed.csv())
                folder.write_report(report)
        folder.remove_store()
    return report


def _plan(options: InferOptions, frames: int | None) -> SegmenterPlan:
    return SegmenterPlan.make(
        options.amcnet,
        engine=options.engine,
        trust=options.trust,
        flow=options.flow,
        threshold=options.threshold,
        crf=options.crf,
        temporal=options.temporal,
        device=options.device,
        precision=options.precision,
        model=options.model,
        explain=explains(options.write),
        frames=frames,
    )


def _require_space(
    folder: RunFolder, kinds: list[str], reader: FrameReader, first: MaskFrame, announce: Callable[[str], None]
) -> dict[str, int] | None:
    """The estimated bytes of each output; None if the number of frames is unknown. Raises OutputError."""
    if reader.info.expected_frames is None:
        return None
    height, width = first.mask.shape
    estimated = estimate_bytes(kinds, frames=reader.info.expected_frames, width=width, height=height)
    require_space(folder.path, estimated, held=sum(row["bytes"] for row in folder.outputs(kinds).values()))
    if sum(estimated.values()) >= _ANNOUNCED_BYTES:
        announce(f"{reader.info.name}: the outputs will take about {describe(estimated)}")
    return estimated


def _masks(
    segmenter: Segmenter,
    reader: FrameReader,
    flow: Flow | None,
    times: StageTimes,
    folder: RunFolder,
    kept: int,
    matte: Matte,
) -> Generator[MaskFrame, None, None]:
    """The masks of all frames of `reader`; the first `kept` ones are read from the files of an earlier run."""
    frame = None
    for frame in islice(reader, kept):
        path = folder.stored / folder.name(frame.index)
        alpha = read_gray(path)
        (height, width), (mask_height, mask_width) = frame.pixels.shape[:2], alpha.shape
        if (mask_width, mask_height) != (width, height):
            raise InputError(
                f"{path} is {mask_width}x{mask_height}, its frame {width}x{height}; expected the same size. The "
                "source has changed. Fix: start again with --overwrite"
            )
        yield MaskFrame(frame, alpha >= 128, matte.frame_probability(alpha))
    # The last of these frames is computed again: the temporal filter needs it for the next one.
    frames = reader if frame is None else chain([frame], reader)
    with closing(segmenter.masks(frames, flow, times)) as masks:
        yield from islice(masks, 0 if frame is None else 1, None)


def _report(
    options: InferOptions, plan: SegmenterPlan, kinds: list[str], source_name: str | None = None
) -> dict[str, Any]:
    """Content of run.json during the run; a run is resumed only if `settings` are equal."""
    return {
        "schema": SCHEMA,
        "complete": False,
        "settings": {
            "source": source_name or public_name(str(options.source)),
            **source_file(Path(options.source), is_copy=source_name not in (None, str(options.source))),
            **asdict(options.selection),
            "names": options.names,
            "threshold": options.threshold,
            "write": kinds,
            "soft_edges": None if options.soft_edges is None else list(options.soft_edges),
            "background": None if options.background is None else str(options.background),
            "crf": options.crf,
            "temporal": plan.temporal,
            "device": options.device,
            "model": plan.model,
            "flow": "inside" if plan.flow is None else plan.flow.name,
            "files": {
                name: _describe(file, plan.precision if file is plan.file else file.precision)
                for name, file in plan.files.items()
            },
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


def _describe(file: NetworkFile, precision: str) -> dict[str, Any]:
    described = {
        "name": file.path.name,
        "sha256": file.sha256(),
        "precision": precision,
        "checkpoint_sha256": file.metadata[CHECKPOINT_SHA256],
        "trained": not file.untrained,
    }
    if isinstance(file, EngineFile):
        described |= {"card_sha256": file_sha256(card_path(file.path)), "onnx_sha256": file.card.onnx_sha256}
    return described


def _results(
    reader: FrameReader, outputs: RunOutputs, times: StageTimes, *, frames: int, computed: int, seconds: float
) -> dict[str, Any]:
    return {
        "truncated": reader.truncated is not None,
        "notes": [*([reader.truncated] if reader.truncated else []), *reader.notes, *outputs.notes],
        "frames": frames,
        "computed_frames": computed,
        "seconds": round(seconds, 3),
        "fps": round(computed / seconds, 3),
        "latency_ms": times.quantiles_ms(),
    }
