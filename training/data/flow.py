"""Optical flow between two frames, computed as in deployment: by DIS, or by a PWC-Net or RAFT."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...runtime.backends.onnxruntime_backend import OnnxRuntimeBackend
from ...runtime.files.onnx_file import FLOW_MODELS, OnnxFile
from ...runtime.flow.flow import DisFlow
from ...runtime.flow.learned_flow import LearnedFlow
from ...runtime.frame import Frame

GRID_PX = 384

FlowFunction = Callable[[NDArray[np.uint8], NDArray[np.uint8], int], NDArray[np.float32]]
"""first, second (H, W, 3) uint8 RGB, side length of DIS's grid -> flow (h, w, 2) float32, covering the frames, in their
px.
"""


def flow_function(flow: str | Path) -> tuple[FlowFunction, str]:
    """Return the flow function of `flow`, and its identity.

    flow: "dis" or the ONNX file of a PWC-Net or RAFT. The identity is "dis" or the SHA-256 of the file.
    Raises ModelFileError for another file, BackendError without ONNX Runtime.
    """
    if str(flow) == "dis":
        return dis_flow, "dis"
    file = OnnxFile.read(flow, *FLOW_MODELS)
    # Each process loads the network for itself, in one thread: a fork would lose the threads of a pool.
    backend = functools.cache(lambda process: OnnxRuntimeBackend(file, 1))
    backend(os.getpid())  # errors of the file are raised here

    def network_flow(first: NDArray[np.uint8], second: NDArray[np.uint8], grid_px: int) -> NDArray[np.float32]:
        return LearnedFlow(file, (grid_px, grid_px), backend=backend(os.getpid())).flow(*_frames(first, second))

    return network_flow, file.sha256()


def dis_flow(first: NDArray[np.uint8], second: NDArray[np.uint8], grid_px: int = GRID_PX) -> NDArray[np.float32]:
    """Return the DIS flow from `first` to `second`, (grid_px, grid_px, 2) float32 in px of the frames.

    first, second: (H, W, 3) uint8 RGB. grid_px: side length of the grid that the flow is computed on.
    """
    with DisFlow((grid_px, grid_px)) as flow:
        return flow.flow(*_frames(first, second))


def _frames(*images: NDArray[np.uint8]) -> list[Frame]:
    return [Frame(pixels, index=index, pts=index, pts_seconds=0.0) for index, pixels in enumerate(images)]
