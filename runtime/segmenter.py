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

from .backends.base import Backend
from .backends.open_backend import open_backend, open_pipeline
from .backends.tensorrt_pipeline import PipelineBackend
from .closeable import Closeable
from .files.bundled_network import DEFAULT_AMCNET as DEFAULT_AMCNET
from .flow.flow import Flow
from .frame import Frame, MaskFrame
from .loaded_process import LoadedProcess
from .machine_info import available_cores
from .opencv_state import single_threaded_opencv
from .prefetch import prefetch
from .preprocessing.resize import network_input, upsample_mask
from .refine.crf import refine
from .segmenter_plan import SegmenterPlan
from .stage_times import StageTimes
from .trt.card import EngineFile
from .video.reader import open_frames

_MOST_FRAMES_AT_ONCE = 4  # in the network: each takes up to some 100 MB, and a large machine has many cores
_FRAMES_AT_ONCE_ON_GPU = 2  # one is copied while the other is computed


@dataclass(frozen=True, eq=False)
class Prepared:
    """A frame and what the network takes for it: `image` and `flow_image`, (1, 3, h, w) float32."""

    frame: Frame
    image: NDArray[np.float32]
    flow_image: NDArray[np.float32]


class Segmenter(Closeable):
    """AMC-Net and a source of flow; made by `load`, a context manager, for one thread.

    with Segmenter.load() as segmenter:
        for m in segmenter.video("clip.mp4"):
            m.mask, m.pts_seconds
    """

    def __init__(self, plan: SegmenterPlan, backend: Backend | PipelineBackend) -> None:
        """`backend` has loaded the network of `plan`, and is closed with this."""
        self.plan = plan
        self.file = plan.file
        self.backend = backend
        on_gpu = plan.device == "cuda" or isinstance(plan.file, EngineFile)
        self._at_once = _FRAMES_AT_ONCE_ON_GPU if on_gpu else frames_at_once()
        self._preprocessing = plan.preprocessing
        self._loaded = LoadedProcess()

    @classmethod
    def open(cls, plan: SegmenterPlan) -> Segmenter:
        """Load the network of `plan`. Raises BackendError, EngineError or ModelFileError."""
        if isinstance(plan.file, EngineFile) and plan.file.model == "pipeline":
            return cls(plan, open_pipeline(plan.file))
        threads = max(1, available_cores() // frames_at_once())
        return cls(plan, open_backend(plan.file, threads=threads, device=plan.device))

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
        a dense CRF over the probabilities and the frame's colors instead, 3 s a frame at 854x480.
        `device` is "cpu" or "cuda", an NVIDIA GPU: ONNX files run there, or it is an error.
        `precision` is for the one that comes with the package: "fp32", "int8", or "auto": int8 on a CPU that is faster
        in it (`amc-infer`, which loads it for one video, takes fp32 for a short one). A file has its own.
        Raises ModelFileError, BackendError, EngineError or InputError.
        """
        return cls.open(
            SegmenterPlan.make(
                amcnet,
                engine=engine,
                trust=trust,
                flow=flow,
                threshold=threshold,
                crf=crf,
                device=device,
                precision=precision,
            )
        )

    def video(
        self, source: str | Path, *, start: int = 0, frames: int | None = None, stride: int = 1
    ) -> Generator[MaskFrame, None, None]:
        """The masks of `source`, one per frame, in order of presentation; arguments and errors as of `open_frames`.

        Closing the generator, or dropping it, ends the threads behind it.
        """
        self._loaded.require()
        with (
            open_frames(source, start=start, frames=frames, stride=stride) as reader,
            self.plan.open_flow(reader, start, frames, stride) as flow,
        ):
            yield from self.masks(reader, flow)

    def masks(
        self, frames: Iterable[Frame], flow: Flow, times: StageTimes | None = None
    ) -> Generator[MaskFrame, None, None]:
        """The masks of `frames`; reading, preparing and the network overlap, each in a thread.

        `times` collects how long decoding, flow, preparing, network and upsampling took per frame. OpenCV has one
        thread a call until the generator ends.
        """
        self._loaded.require()
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

    def close(self) -> None:
        if self._loaded.is_this:
            self.backend.close()

    def _prepare(self, frames: Iterator[Frame], flow: Flow, times: StageTimes) -> Iterator[Prepared]:
        frame = next(frames, None)
        while frame is not None:
            next_frame = next(frames, None)
            with times("flow"):
                picture = flow.render(frame, next_frame)
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
        mask = probability >= self.plan.threshold
        if self.plan.crf:
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
