"""Loaded networks that turn frames into masks: AMC-Net with a stream of flow images, or a whole pipeline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from .backends.base import Backend
from .backends.open_backend import open_backend, open_pipeline
from .closeable import Closeable
from .explanation import EXPLANATION_OUTPUTS, Explanation
from .flow.flow import DisFlow, Flow, Motion
from .frame import Frame, MaskFrame
from .machine_info import available_cores
from .prefetch import prefetch
from .preprocessing.resize import network_input, upsample_mask
from .refine.temporal import Evidence, filter_in_time
from .segmenter_plan import SegmenterPlan
from .stage_times import StageTimes
from .trt.card import EngineFile

if TYPE_CHECKING:
    from .backends.tensorrt_pipeline import PipelineBackend

Item = TypeVar("Item")
Result = TypeVar("Result")

_MAX_FRAMES_AT_ONCE = 4  # each takes up to 100 MB in the network
_FRAMES_AT_ONCE_ON_GPU = 2  # one is copied while the other is computed


class MaskNetwork(Closeable, ABC):
    """A network of a Segmenter. `name` is the library that runs it, with its version and device, for run.json."""

    name: str

    @abstractmethod
    def masks(
        self, frames: Iterator[Frame], flow: Flow | None, times: StageTimes, *, live: bool = False
    ) -> Generator[MaskFrame, None, None]:
        """The masks of `frames`, one per frame, in order. An error of `frames` is raised after the masks before it.

        flow: the source of flow images; a pipeline computes its own and takes no notice of it. live: a mask comes as
        soon as the frame after its own has come, before the next is asked for; otherwise several frames are computed at
        the same time.
        """


def open_network(plan: SegmenterPlan) -> MaskNetwork:
    """Load the network of `plan`. Raises BackendError, EngineError or ModelFileError."""
    if isinstance(plan.file, EngineFile) and plan.file.model == "pipeline":
        return PipelineNetwork(plan, open_pipeline(plan.file))
    threads = max(1, available_cores() // frames_at_once())
    extra_outputs = EXPLANATION_OUTPUTS if plan.explain else ()
    backend = open_backend(plan.file, threads=threads, device=plan.device, bf16=plan.bf16, extra_outputs=extra_outputs)
    return TwoStreamNetwork(plan, backend)


def frames_at_once(*, on_gpu: bool = False) -> int:
    """Number of frames that are in the network at the same time; on a CPU they share its cores evenly."""
    return _FRAMES_AT_ONCE_ON_GPU if on_gpu else min(available_cores(), _MAX_FRAMES_AT_ONCE)


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A frame and its network inputs `image` and `flow_image`, (1, 3, h, w) float32.

    `flow_pixels` is the flow image as (h, w, 3) uint8 RGB; `motion` is for the temporal filter.
    """

    frame: Frame
    image: NDArray[np.float32]
    flow_image: NDArray[np.float32]
    flow_pixels: NDArray[np.uint8]
    motion: Motion | None


class TwoStreamNetwork(MaskNetwork):
    """AMC-Net: an image and a flow image in, a mask out."""

    def __init__(self, plan: SegmenterPlan, backend: Backend, at_once: int | None = None) -> None:
        """`backend` has loaded the file of `plan`; it is closed with this network.

        at_once: number of frames in the network at the same time; None: `frames_at_once`.
        """
        self._plan = plan
        self._preprocessing = plan.file.preprocessing
        self._at_once = at_once or frames_at_once(on_gpu=plan.on_gpu)
        self.backend = backend
        self.name = backend.name

    def masks(
        self, frames: Iterator[Frame], flow: Flow | None, times: StageTimes, *, live: bool = False
    ) -> Generator[MaskFrame, None, None]:
        """Several frames are computed at once: the light network takes 46 ms on one core, and 29 ms split over two.

        A live mask is not filtered in time: the filter would delay it by another frame.
        """
        if flow is None:
            raise ValueError("flow is None; expected a source of flow, such as DisFlow((384, 384))")
        temporal = self._plan.temporal and not live
        if live:
            for item in self._prepare(frames, flow, times, temporal):
                yield self._finish(self._compute(item, times), times)
            return
        with (
            closing(prefetch(self._prepare(frames, flow, times, temporal))) as prepared,
            ThreadPoolExecutor(self._at_once, "amcnet network") as pool,
        ):
            computed = _map_ahead(pool, self._at_once, lambda item: self._compute(item, times), prepared)
            if temporal:
                computed = filter_in_time(computed, times)
            yield from _map_ahead(pool, self._at_once, lambda item: self._finish(item, times), computed)

    def close(self) -> None:
        self.backend.close()

    def _prepare(self, frames: Iterator[Frame], flow: Flow, times: StageTimes, temporal: bool) -> Iterator[_Prepared]:
        # The temporal filter follows flow vectors on the network's grid, which other sources do not give.
        size = self._preprocessing.size
        dis = flow if isinstance(flow, DisFlow) and flow.size == size else DisFlow(size)
        is_bicubic = self._preprocessing.resize == "bicubic-antialiased"
        frame = next(frames, None)
        while frame is not None:
            next_frame = next(frames, None)
            with times("prepare"):
                pixels = dis.reduced(frame) if is_bicubic else frame.pixels
                image = network_input(pixels, self._preprocessing)
                if next_frame is not None and is_bicubic:
                    dis.reduced(next_frame)  # for the flow, which is timed alone
            with times("flow"):
                motion = dis.motion(frame, next_frame) if temporal else None
                flow_pixels = flow.render(frame, next_frame)
                flow_image = network_input(flow_pixels, self._preprocessing)
            yield _Prepared(frame, image, flow_image, flow_pixels, motion)
            frame = next_frame

    def _compute(self, item: _Prepared, times: StageTimes) -> Evidence:
        with times("network"):
            outputs = self.backend.run({"image": item.image, "flow_image": item.flow_image})
        explanation = Explanation.of(item.flow_pixels, outputs) if self._plan.explain else None
        return Evidence(item.frame, outputs["mask"][0, 0], item.motion, explanation)

    def _finish(self, item: Evidence, times: StageTimes) -> MaskFrame:
        height, width = item.frame.pixels.shape[:2]
        with times("upsample"):
            probability = upsample_mask(item.probability, (width, height))
        return self._plan.mask_frame(item.frame, probability, times, item.explanation)


def _map_ahead(
    pool: ThreadPoolExecutor, ahead: int, function: Callable[[Item], Result], items: Iterator[Item]
) -> Iterator[Result]:
    """Yield `function(item)` in the order of `items`, with `ahead` of them in work.

    An error of `items` is raised after the results before it.
    """
    waiting: deque[Future[Result]] = deque()
    end: Exception | None = None
    while end is None:
        try:
            waiting.append(pool.submit(function, next(items)))
        except Exception as error:
            end = error  # StopIteration, or an error of an earlier stage
        while waiting and (end is not None or len(waiting) > ahead):
            yield waiting.popleft().result()
    if not isinstance(end, StopIteration):
        raise end


class PipelineNetwork(MaskNetwork):
    """The engine of a whole pipeline: two frames in, a mask out; it computes its flow itself."""

    def __init__(self, plan: SegmenterPlan, backend: PipelineBackend) -> None:
        """`backend` has loaded the engine of `plan`; it is closed with this network."""
        self._plan = plan
        self.backend = backend
        self.name = backend.name

    def masks(
        self, frames: Iterator[Frame], flow: Flow | None, times: StageTimes, *, live: bool = False
    ) -> Generator[MaskFrame, None, None]:
        for frame, probability in self.backend.masks(frames, times, ahead=0 if live else 1):
            yield self._plan.mask_frame(frame, probability, times)

    def close(self) -> None:
        self.backend.close()
