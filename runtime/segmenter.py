"""Frames in, masks out: the network with all that it needs around it."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import InputError
from ..engines.card import EngineFile
from ..export.onnx_file import PREPROCESSING, OnnxFile
from ..export.preprocessing import Preprocessing
from .backend import DEVICES, Backend, NetworkFile, available_cores, open_backend, open_pipeline
from .closes import Closes
from .crf import refine
from .default_network import DEFAULT_AMCNET as DEFAULT_AMCNET
from .default_network import default_network
from .flow import DisFlow, Flow, FlowInside, PrecomputedFlow
from .frame import Frame, MaskFrame
from .network_files import read_engine, read_flow
from .opencv_state import single_threaded_opencv
from .pipeline_backend import PipelineBackend
from .prefetch import prefetch
from .preprocess import network_input, upsample_mask
from .pwc_flow import PwcFlow
from .reader import FrameReader, open_frames
from .stage_times import StageTimes

_MOST_FRAMES_AT_ONCE = 4  # in the network: each takes up to some 100 MB, and a large machine has many cores
_FRAMES_AT_ONCE_ON_GPU = 2  # one is copied while the other is computed


@dataclass(frozen=True, eq=False)
class Prepared:
    """A frame and what the network takes for it: `image` and `flow_image`, (1, 3, h, w) float32."""

    frame: Frame
    image: NDArray[np.float32]
    flow_image: NDArray[np.float32]


class Segmenter(Closes):
    """AMC-Net and a source of flow; made by `load`, a context manager, for one thread.

    with Segmenter.load() as segmenter:
        for m in segmenter.video("clip.mp4"):
            m.mask, m.pts_seconds
    """

    def __init__(
        self,
        file: NetworkFile,
        backend: Backend | PipelineBackend,
        flow: str | Path,
        flow_file: NetworkFile | None,
        threshold: float,
        crf: bool = False,
        device: str = "cpu",
    ) -> None:
        """`flow_file` is the PWC-Net that `flow` names, None if it names another source; it runs on `device`."""
        self.file = file
        self.backend = backend
        self.flow_file = flow_file
        self.threshold = threshold
        self.crf = crf
        self.device = device
        on_gpu = device == "cuda" or isinstance(file, EngineFile)
        self._at_once = _FRAMES_AT_ONCE_ON_GPU if on_gpu else frames_at_once()
        self._flow = flow
        self._preprocessing = Preprocessing.from_json(file.metadata[PREPROCESSING])

    @classmethod
    def load(
        cls,
        amcnet: str | Path | None = None,
        *,
        engine: str | Path | None = None,
        trust: bool = False,
        flow: str | Path = "dis",
        threshold: float = 0.5,
        crf: bool = False,
        device: str = "cpu",
        precision: str = "auto",
    ) -> Segmenter:
        """Load the AMC-Net in the ONNX file `amcnet`, by default the trained one that comes with the package.

        `engine` stands in its place: an AMC-Net or a whole pipeline, whose flow is inside, from build-engine. One that
        is not what its card says is refused unless `trust` is given: engines are code.
        `flow` is "dis" (OpenCV, no weights), a PWC-Net (ONNX or engine), or a folder of `.flo` files or flow pictures.
        `threshold` in (0, 1): a pixel whose probability reaches it belongs to the mask. `crf`: the masks are those of
        a dense CRF over the probabilities and the frame's colours instead, 3 s a frame at 854x480.
        `device` is "cpu" or "cuda", an NVIDIA GPU: ONNX files run there, or it is an error.
        `precision` is for the one that comes with the package: "fp32", "int8", or "auto": int8 on a CPU that is faster
        in it. A file has its own.
        Raises ModelFileError, BackendError, EngineError or InputError.
        """
        if not 0 < threshold < 1:
            raise InputError(f"threshold is {threshold}; expected a number between 0 and 1, such as 0.5")
        if str(flow) != "dis" and Path(flow).suffix not in (".onnx", ".engine") and not Path(flow).is_dir():
            raise InputError(
                f"flow {str(flow)!r} is neither 'dis', an ONNX file of PWC-Net, nor a folder of flow files"
            )
        if device not in DEVICES:
            raise InputError(f"device is {device!r}; expected {' or '.join(DEVICES)}")
        if amcnet is not None and precision != "auto":
            raise InputError(f"precision {precision} was asked for, but {amcnet} has its own; leave out one of the two")
        file: NetworkFile
        if engine is not None:
            file = read_engine(Path(engine), trust, amcnet, flow)
        else:
            file = OnnxFile.read(amcnet or default_network(precision, device), "amcnet")
        flow_file = read_flow(Path(flow), trust)
        backend: Backend | PipelineBackend
        if isinstance(file, EngineFile) and file.network == "pipeline":
            backend = open_pipeline(file)
        else:
            backend = open_backend(file, threads=max(1, available_cores() // frames_at_once()), device=device)
        return cls(file, backend, flow, flow_file, threshold, crf, device)

    def video(
        self, source: str | Path, *, start: int = 0, frames: int | None = None, stride: int = 1
    ) -> Generator[MaskFrame, None, None]:
        """The masks of `source`, one per frame, in order of presentation; arguments and errors as of `open_frames`.

        Closing the generator, or dropping it, ends the threads behind it.
        """
        with (
            open_frames(source, start=start, frames=frames, stride=stride) as reader,
            self.open_flow(reader, start, frames, stride) as flow,
        ):
            yield from self.masks(reader, flow)

    def masks(
        self, frames: Iterable[Frame], flow: Flow, times: StageTimes | None = None
    ) -> Generator[MaskFrame, None, None]:
        """The masks of `frames`; reading, preparing and the network overlap, each in a thread.

        `times` collects how long decoding, flow, preparing, network and upsampling took per frame. OpenCV has one
        thread a call until the generator ends.
        """
        times = times or StageTimes()
        if isinstance(self.backend, PipelineBackend):
            with (
                single_threaded_opencv,
                closing(prefetch(_timed(frames, times))) as read,
                closing(prefetch(self._through_pipeline(self.backend, read, times))) as segmented,
            ):
                yield from segmented
            return
        with (
            single_threaded_opencv,
            closing(prefetch(_timed(frames, times))) as read,
            closing(prefetch(self._prepare(read, flow, times))) as prepared,
            closing(prefetch(self._segment(prepared, times))) as segmented,
        ):
            yield from segmented

    def open_flow(self, reader: FrameReader, start: int, frames: int | None, stride: int) -> Flow:
        """The source of flow for the frames of `reader`, which was opened with these."""
        if self.file.network == "pipeline":
            return FlowInside()
        size = self._preprocessing.size
        if self.flow_file is not None:
            return PwcFlow(self.flow_file, size, self.device)
        if str(self._flow) == "dis":
            return DisFlow(size)
        expected = reader.info.expected_frames if frames is None else None
        return PrecomputedFlow(Path(self._flow), size, start=start, stride=stride, expected_frames=expected)

    def close(self) -> None:
        self.backend.close()

    def _prepare(self, frames: Iterator[Frame], flow: Flow, times: StageTimes) -> Iterator[Prepared]:
        frame = next(frames, None)
        while frame is not None:
            next_frame = next(frames, None)
            with times("flow"):
                picture = flow.picture(frame, next_frame)
            with times("prepare"):
                image = network_input(frame.pixels, self._preprocessing)
                flow_image = network_input(picture, self._preprocessing)
            yield Prepared(frame, image, flow_image)
            frame = next_frame

    def _segment(self, prepared: Iterator[Prepared], times: StageTimes) -> Iterator[MaskFrame]:
        """Several frames at once: the light network takes 46 ms on one core, and 29 split over two."""
        with ThreadPoolExecutor(self._at_once, "amcnet network") as pool:
            waiting: deque[Future[MaskFrame]] = deque()
            end: Exception | None = None
            while end is None:
                try:
                    waiting.append(pool.submit(self._segment_one, next(prepared), times))
                except Exception as error:
                    end = error  # StopIteration, or what went wrong earlier: the frames before it come first
                while waiting and (end is not None or len(waiting) > self._at_once):
                    yield waiting.popleft().result()
            if not isinstance(end, StopIteration):
                raise end

    def _segment_one(self, item: Prepared, times: StageTimes) -> MaskFrame:
        assert not isinstance(self.backend, PipelineBackend)
        with times("network"):
            outputs = self.backend.run({"image": item.image, "flow_image": item.flow_image})
        height, width = item.frame.pixels.shape[:2]
        with times("upsample"):
            probability = upsample_mask(outputs["mask"][0, 0], (width, height))
        return self._answer(item.frame, probability, times)

    def _through_pipeline(
        self, pipeline: PipelineBackend, frames: Iterator[Frame], times: StageTimes
    ) -> Iterator[MaskFrame]:
        for frame, probability in pipeline.masks(frames, times):
            yield self._answer(frame, probability, times)

    def _answer(self, frame: Frame, probability: NDArray[np.float32], times: StageTimes) -> MaskFrame:
        mask = probability >= self.threshold
        if self.crf:
            with times("crf"):
                mask = refine(frame.pixels, probability)
        return MaskFrame(frame, mask, probability)


def frames_at_once() -> int:
    """How many frames the network works on side by side; the cores are shared out among them."""
    return min(available_cores(), _MOST_FRAMES_AT_ONCE)


def _timed(frames: Iterable[Frame], times: StageTimes) -> Iterator[Frame]:
    source = iter(frames)
    while True:
        with times("decode"):
            frame = next(source, None)
        if frame is None:
            return
        yield frame
