"""TensorRT engine of a whole pipeline: frames in, masks out; one upload and one download per frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from ..closeable import Closeable
from ..errors import InputError
from ..frame import Frame
from ..gpu.cuda import Event, Stream
from ..gpu.cuda_graph import Graph
from ..gpu.cuda_memory import PinnedBuffer
from ..stage_times import StageTimes
from ..trt.card import EngineFile
from ..trt.engine import Engine, Execution
from .base import check_contract, check_finite

_SLOTS = 3  # while frame t+1 goes up and mask t-1 comes down, pair t is computed


class PipelineBackend(Closeable):
    """Three slots, each with a frame and a mask. The network reads slots i and i+1 and writes the mask of slot i.

    Uploads, network and downloads run in three streams that wait for each other by events. The calling thread waits
    only for a mask, while the next pair is computed. A frame is uploaded once: it is the second frame of one pair and
    the first one of the next.
    """

    def __init__(self, file: EngineFile) -> None:
        """Load the engine. Raises EngineError or BackendError if it cannot run on this machine, or ModelFileError."""
        self._file = file
        with ExitStack() as stack:
            self._engine = stack.enter_context(Engine(file))
            own = self._engine.parts.enter_context
            with self._engine.on_device("cannot be run"):
                self._execution = own(self._engine.execution())
                check_contract(file, list(self._execution.inputs), list(self._execution.outputs))
                self._uploads, self._network, self._downloads = (own(Stream()) for _ in range(3))
                self._slots = [own(_Slot(self._execution)) for _ in range(_SLOTS)]
                self._graphs = [self._recorded(index) for index in range(_SLOTS)]
                self._engine.parts.callback(self._synchronize)
            stack.pop_all()
        self.name = f"{self._engine.name}, {'a' if self._graphs[0] else 'no'} CUDA graph"

    def masks(
        self, frames: Iterator[Frame], times: StageTimes, *, ahead: int = 1
    ) -> Iterator[tuple[Frame, NDArray[np.float32]]]:
        """Each frame with its probability (H, W) in [0, 1]. `times` collects the copy to pinned memory and the wait.

        ahead: how many frames (0 or 1) are begun before the mask of the frame before them is waited for.
        The last frame is paired with the frame before it, with backward motion; a single frame is paired with itself.
        An error of `frames` is raised after the masks before it. Raises InputError for frames of another size.
        """
        waiting: deque[Frame] = deque()
        number = 0
        end: Exception | None = None
        frame = next(frames, None)
        if frame is not None:
            self._upload(0, frame, times)
        while frame is not None and end is None:
            next_frame = None
            try:
                next_frame = next(frames, None)
                if next_frame is not None:
                    self._upload(number + 1, next_frame, times)
            except Exception as error:
                end = error
            else:
                self._compute(number, backwards=next_frame is None)
                waiting.append(frame)
                number += 1
            while waiting and (len(waiting) > ahead or next_frame is None or end is not None):
                yield waiting[0], self._mask(number - len(waiting), times)
                waiting.popleft()
            frame = next_frame
        if end is not None:
            raise end

    def close(self) -> None:
        self._engine.close()

    def _recorded(self, index: int) -> Graph | None:
        self._bind(index, index + 1)
        self._execution.enqueue(self._network)
        self._network.synchronize()
        graph = self._execution.record(self._network, lambda: self._execution.enqueue(self._network))
        return None if graph is None else self._engine.parts.enter_context(graph)

    def _synchronize(self) -> None:
        for stream in (self._uploads, self._network, self._downloads):
            stream.synchronize()

    def _bind(self, number: int, next_number: int) -> None:
        self._execution.bind("frame", self._slots[number % _SLOTS].frame.address)
        self._execution.bind("next_frame", self._slots[next_number % _SLOTS].frame.address)
        self._execution.bind("mask", self._slots[number % _SLOTS].mask.address)

    def _upload(self, number: int, frame: Frame, times: StageTimes) -> None:
        slot = self._slots[number % _SLOTS]
        _, height, width, _ = slot.frame.host.shape
        if frame.pixels.shape != (height, width, 3):
            raise InputError(
                f"frame {frame.index} is {frame.pixels.shape[1]}x{frame.pixels.shape[0]}; expected {width}x{height} "
                f"for {self._file.path}. Export and build it for the video's size: export-onnx pipeline --video-size "
                f"{frame.pixels.shape[1]}x{frame.pixels.shape[0]}"
            )
        with self._engine.on_device("failed"), times("upload"):
            # The slot is free: the mask of the frame that was in it has been waited for.
            slot.frame.host[0] = frame.pixels
            slot.frame.upload(self._uploads)
            slot.uploaded.record(self._uploads)

    def _compute(self, number: int, *, backwards: bool) -> None:
        """Enqueue frame `number` and the next one; backwards: and the one before, or the first frame with itself."""
        slot, graph = self._slots[number % _SLOTS], self._graphs[number % _SLOTS]
        partner = max(number - 1, 0) if backwards else number + 1
        with self._engine.on_device("failed"):
            self._network.wait(self._slots[max(number, partner) % _SLOTS].uploaded)
            if graph is not None and not backwards:
                graph.launch(self._network)
            else:
                self._bind(number, partner)
                self._execution.enqueue(self._network)
            slot.computed.record(self._network)
            self._downloads.wait(slot.computed)
            slot.mask.download(self._downloads)
            slot.downloaded.record(self._downloads)

    def _mask(self, number: int, times: StageTimes) -> NDArray[np.float32]:
        slot = self._slots[number % _SLOTS]
        with self._engine.on_device("failed"), times("network"):
            slot.downloaded.synchronize()
            mask: NDArray[np.float32] = slot.mask.host[0].astype(np.float32)  # (H, W)
        check_finite(self._file, {"mask": mask})
        np.clip(mask, 0, 1, out=mask)
        return mask


class _Slot(Closeable):
    """A frame and its mask in pinned memory and on the GPU, and events for the progress of their stages."""

    def __init__(self, execution: Execution) -> None:
        frame, mask = execution.inputs["frame"], execution.outputs["mask"]
        with ExitStack() as stack:
            self.frame = stack.enter_context(PinnedBuffer(frame.shape, frame.dtype))
            self.mask = stack.enter_context(PinnedBuffer(mask.shape, mask.dtype))
            self.uploaded, self.computed, self.downloaded = (stack.enter_context(Event()) for _ in range(3))
            self._owned = stack.pop_all()

    def close(self) -> None:
        self._owned.close()
