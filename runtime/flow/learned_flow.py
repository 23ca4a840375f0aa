"""Flow images by PWC-Net or RAFT, from its ONNX file or engine."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..backends.base import Backend, NetworkFile
from ..backends.open_backend import open_backend
from ..frame import Frame
from ..machine_info import available_cores
from ..preprocessing.resize import Bicubic
from ..preprocessing.spec import Preprocessing
from .flow import Flow, resize_flow
from .flow_color import color_flow


class LearnedFlow(Flow):
    """A flow network at the size that its file was exported for.

    Frames are resized to that size; the flow is resized to the frame's size and colored there, as in the original
    scripts of PWC-Net.
    """

    def __init__(
        self, file: NetworkFile, size: tuple[int, int], device: str = "cpu", *, backend: Backend | None = None
    ) -> None:
        """Load `file`; `size` is the (width, height) of the flow images, the segmentation network's input size.

        backend: one that has loaded `file`; it is left open. Raises BackendError, EngineError or ModelFileError.
        """
        self._prepare = file.preprocessing
        self._size = size
        self._backend = backend or load_flow_network(file, device)
        self._owns_backend = backend is None
        self._last = np.full((size[1], size[0], 3), 255, np.uint8)
        self._kept: tuple[Frame, NDArray[np.float32]] | None = None

    def flow(self, frame: Frame, next_frame: Frame) -> NDArray[np.float32]:
        """Flow (H, W, 2) float32 at the size of `frame`, in its pixels."""
        inputs = {"frame": self._input(frame), "next_frame": self._input(next_frame)}
        flow = self._backend.run(inputs)["flow"][0]  # RAFT: (2, h, w), PWC-Net: (2, h/4, w/4); in pixels of (h, w)
        height, width = frame.pixels.shape[:2]
        full = resize_flow(flow.transpose(1, 2, 0), (width, height))
        # resize_flow scales vectors by the ratio of the grids; PWC-Net's are in pixels of a grid 4 times as fine.
        full /= np.float32(self._prepare.size[0] / flow.shape[2])
        return full

    def render(self, frame: Frame, next_frame: Frame | None) -> NDArray[np.uint8]:
        if next_frame is not None:
            flow = self.flow(frame, next_frame)
            self.amount.add(flow, frame)
            self._last = Bicubic((flow.shape[1], flow.shape[0]), self._size)(color_flow(flow))
        return self._last

    def close(self) -> None:
        if self._owns_backend:
            self._backend.close()

    def _input(self, frame: Frame) -> NDArray[np.float32]:
        """Input (1, 3, h, w) for `frame`. That of t+1 is kept, since it is the first one of the next pair."""
        if self._kept is not None and self._kept[0] is frame:
            return self._kept[1]
        planes = flow_network_input(frame, self._prepare)
        self._kept = (frame, planes)
        return planes


def load_flow_network(file: NetworkFile, device: str = "cpu") -> Backend:
    """Load `file` on all cores or on the GPU. Raises BackendError, EngineError or ModelFileError."""
    return open_backend(file, available_cores(), device)


def flow_network_input(frame: Frame, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Input of a flow network for a frame: (1, 3, h, w) float32.

    Resized in float32 as in the original scripts of PWC-Net; rounding the resized frame to 8 bits changes the flow.
    """
    resized = cv2.resize(frame.pixels.astype(np.float32), preprocessing.size, interpolation=cv2.INTER_LINEAR)
    ordered = resized[..., ::-1] if preprocessing.channel_order == "BGR" else resized
    scaled = (ordered / 255 - preprocessing.mean) / preprocessing.std
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], np.float32)
