"""Network inputs for the frames of clips, equal to those of the deployed runtime."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import InputError
from ..files.onnx_file import OnnxFile
from ..flow.flow import Flow
from ..flow.flow_source import FlowSource
from ..flow.learned_flow import flow_network_input
from ..frame import Frame
from ..opencv_state import single_threaded_opencv
from ..preprocessing.resize import network_input
from ..video.reader import FrameReader, open_frames


@dataclass(frozen=True, eq=False, kw_only=True)
class ClipInput:
    """The `inputs` of a network by name for `frame` of `clip`; its index counts the frames of the clip."""

    clip: str
    frame: Frame
    inputs: dict[str, NDArray[Any]]


class ClipInputs:
    """Inputs for the frames of clips, made one at a time; may be iterated several times.

    for item in ClipInputs(OnnxFile.read("amcnet.onnx"), ["clip.mp4", "frames/"], every=10):
        session.run(None, item.inputs)
    """

    def __init__(
        self,
        file: OnnxFile,
        clips: Sequence[str | Path],
        *,
        flow: str | Path = "dis",
        every: int = 1,
        chosen: Collection[tuple[str, int]] | None = None,
    ) -> None:
        """Inputs of `file`, an AMC-Net, PWC-Net, RAFT or pipeline, for sources that `open_frames` accepts.

        flow: source of flow images for an AMC-Net: "dis" or the ONNX file of a PWC-Net or RAFT. every: take each n-th
        frame, with the flow to the frame after it. chosen: take the frames (clip, index) instead; frames between them
        are decoded but not converted, and a clip is read up to its last chosen frame.
        Raises InputError, ModelFileError or EngineError for another `flow`.
        """
        self._model = file.model
        self._computes_flow = file.computes_flow
        self._preprocessing = file.preprocessing
        self._clips = clips
        self._flow = FlowSource.parse(flow)
        if self._flow.folder is not None:
            raise InputError(
                f"flow {str(flow)!r} is a folder, which belongs to one video; expected 'dis' or a PWC-Net or RAFT file"
            )
        self._every = every
        self._chosen = None if chosen is None else frozenset(chosen)
        self._last: dict[str, int] = {}  # clip -> its last chosen frame
        for clip, index in sorted(self._chosen or ()):
            self._last[clip] = index

    def __iter__(self) -> Iterator[ClipInput]:
        """Raises InputError for a clip that cannot be read, has one frame only, or another size than a pipeline's."""
        size = self._preprocessing.size
        for clip in self._clips:
            name = str(clip)
            if self._chosen is not None and name not in self._last:
                continue
            with single_threaded_opencv, open_frames(clip) as reader, self._flow.open(size) as flow:
                for frame, next_frame in self._pairs(name, reader):
                    yield ClipInput(clip=name, frame=frame, inputs=self._inputs(flow, frame, next_frame))

    def _pairs(self, clip: str, reader: FrameReader) -> Iterator[tuple[Frame, Frame]]:
        """The selected frames, each with the frame after it. No other frame is converted."""
        last = self._last.get(clip)
        before: Frame | None = None
        wanted = False  # whether the frame before is selected
        for index in count():
            if last is not None and index > last + 1:
                return
            wanted, wanted_before = self._wants(clip, index), wanted
            try:
                if wanted or wanted_before:
                    frame: Frame | None = next(reader)
                else:
                    frame = None
                    reader.skip()
            except StopIteration:
                break
            if wanted_before and before is not None and frame is not None:
                yield before, frame
            before = frame
        if index < 2:
            raise InputError(f"{clip} has one frame; expected two or more, since motion is between two")

    def _wants(self, clip: str, index: int) -> bool:
        return index % self._every == 0 if self._chosen is None else (clip, index) in self._chosen

    def _inputs(self, flow: Flow, frame: Frame, next_frame: Frame) -> dict[str, NDArray[Any]]:
        if self._model == "amcnet":
            flow_image = flow.render(frame, next_frame)
            return {
                "image": network_input(frame.pixels, self._preprocessing),
                "flow_image": network_input(flow_image, self._preprocessing),
            }
        if self._computes_flow:
            return {
                "frame": flow_network_input(frame, self._preprocessing),
                "next_frame": flow_network_input(next_frame, self._preprocessing),
            }
        width, height = self._preprocessing.size
        for pixels in (frame.pixels, next_frame.pixels):
            if pixels.shape[:2] != (height, width):
                size = f"{pixels.shape[1]}x{pixels.shape[0]}"
                raise InputError(
                    f"the clip is {size}, and the pipeline takes {width}x{height}; take other clips, or export it for "
                    f"this size: export-onnx pipeline --video-size {size}"
                )
        return {"frame": frame.pixels[None], "next_frame": next_frame.pixels[None]}
