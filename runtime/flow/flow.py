"""Flow images of frames: by OpenCV's DIS flow, or from precomputed files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..closeable import Closeable
from ..errors import InputError
from ..frame import Frame
from ..opencv_state import single_threaded_opencv
from ..preprocessing.reduced_frames import ReducedFrames
from ..preprocessing.resize import Bicubic
from ..video.image_source import in_natural_order, is_image
from ..video.read_image import read_image
from .flow_color import color_flow
from .motion_amount import MotionAmount

_FLO_MAGIC = np.array(202021.25, "<f4").tobytes()  # "PIEH"
_UNKNOWN_PX = 1e9  # the Middlebury format marks unknown vectors by larger values


class Flow(Closeable, ABC):
    """An open source of flow images; the flow image of frame t is the motion t -> t+1.

        with DisFlow((384, 384)) as flow:
            flow_image = flow.render(frame, next_frame)

    One object is for one video, whose frames come in order, from one thread. `amount` collects the vectors; it stays
    empty where only images of the flow exist.
    """

    @cached_property
    def amount(self) -> MotionAmount:
        return MotionAmount()

    @abstractmethod
    def render(self, frame: Frame, next_frame: Frame | None) -> NDArray[np.uint8]:
        """Color image of the flow from `frame` to `next_frame`: (h, w, 3) uint8 RGB at the network's size.

        next_frame is None for the last frame, which gets the flow image of the pair before it; a single frame gets
        zero flow (white).
        """


@dataclass(frozen=True, eq=False)
class Motion:
    """`gray` (h, w) uint8: a frame at the network's size. `flow` (h, w, 2) float32: its motion to the next frame.

    The vectors are in pixels of this grid. `flow` is None for the last frame.
    """

    gray: NDArray[np.uint8]
    flow: NDArray[np.float32] | None


# OpenCV's medium preset has 25 and 5. These take four fifths of its time at 256x256, and J&F of the bundled network is
# the same within chance. With the fast preset or fewer patches it falls by a point or more
# (benchmarks/results/flow-presets.json).
DESCENT_STEPS = 12  # of the gradient descent that places a patch
REFINEMENTS = 2  # fixed-point iterations of the variational refinement, at each scale


class DisFlow(Flow):
    """Dense inverse search (OpenCV) at the network's size: 6 ms at 256x256.

    The medium preset, but `DESCENT_STEPS` and `REFINEMENTS`. Kroeger et al., Fast Optical Flow using Dense Inverse
    Search, ECCV 2016. Its gray images are made of the frames in `reduced`, which are the network's input as well.
    Reducing a gray image of the frame by area takes 1 to 27 ms more (854x480 to 3840x2160), and J&F is the same within
    chance: 0.02 points more on eight sequences of DAVIS-2016 train, 95 % interval -0.09 to 0.11.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        """`size` is the network's (width, height) in pixels."""
        self.size = size
        self.reduced = ReducedFrames(size)
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._dis.setGradientDescentIterations(DESCENT_STEPS)
        self._dis.setVariationalRefinementIterations(REFINEMENTS)
        self._last = np.full((size[1], size[0], 3), 255, np.uint8)
        self._pair: tuple[Frame, Frame, NDArray[np.float32]] | None = None

    def motion(self, frame: Frame, next_frame: Frame | None) -> Motion:
        """The gray image of `frame` and its flow to `next_frame`, both on the network's grid."""
        return Motion(self._gray(frame), None if next_frame is None else self._calculated(frame, next_frame))

    def flow(self, frame: Frame, next_frame: Frame) -> NDArray[np.float32]:
        """Flow (h, w, 2) float32 on the network's grid; its vectors are in pixels of `frame`'s own grid.

        The two sides of a frame that is not square are reduced by different ratios, which would change the angles of
        the vectors. A next frame of another size is stretched to the size of the first one.
        """
        height, width = frame.pixels.shape[:2]
        scale = np.array([width / self.size[0], height / self.size[1]], np.float32)
        return np.asarray(self._calculated(frame, next_frame) * scale, np.float32)

    def render(self, frame: Frame, next_frame: Frame | None) -> NDArray[np.uint8]:
        if next_frame is not None:
            flow = self.flow(frame, next_frame)
            self.amount.add(flow, frame)
            self._last = color_flow(flow)
        return self._last

    def _calculated(self, frame: Frame, next_frame: Frame) -> NDArray[np.float32]:
        """Flow in pixels of the network's grid. That of the last pair is kept, for `motion` after `render`."""
        if self._pair is not None and self._pair[0] is frame and self._pair[1] is next_frame:
            return self._pair[2]
        with single_threaded_opencv:
            flow = self._dis.calc(self._gray(frame), self._gray(next_frame), None)  # type: ignore[call-overload]
        self._pair = (frame, next_frame, np.asarray(flow, np.float32))
        return self._pair[2]

    def _gray(self, frame: Frame) -> NDArray[np.uint8]:
        """(h, w) uint8 at the network's size; 0.03 ms."""
        return np.asarray(cv2.cvtColor(self.reduced(frame), cv2.COLOR_RGB2GRAY), np.uint8)


class PrecomputedFlow(Flow):
    """Precomputed flow, by RAFT for example: a folder of `.flo` files or of flow images, in natural order.

    File n belongs to frame n of the source. There may be one file fewer than frames: the last frame then reuses the
    flow of the pair before it. Flow images are used as they are; `.flo` files are colored at their own size.
    """

    def __init__(
        self,
        folder: Path,
        size: tuple[int, int],
        *,
        start: int = 0,
        stride: int = 1,
        expected_frames: int | None = None,
    ) -> None:
        """Open `folder` for frames of a source that is read with `start` and `stride`.

        size: (width, height) of the network's input. expected_frames: number of frames to come, to find a wrong number
        of files before the first one; None if it is unknown or if the source is not read to its end. Raises InputError
        if `folder` holds no flow files, or a number that does not match.
        """
        self._folder = folder
        self._size = size
        self._start = start
        self._stride = stride
        self._files = _flow_files(folder)
        if expected_frames is not None:
            # The source ends with the last frame read or up to stride - 1 frames later, and one file may be missing.
            fewest = start + (expected_frames - 1) * stride
            most = start + expected_frames * stride
            if not fewest <= len(self._files) <= most:
                raise self._miscounted(f"{fewest + 1}" if stride == 1 else f"{fewest + 1} to {most}")

    def render(self, frame: Frame, next_frame: Frame | None) -> NDArray[np.uint8]:
        position = self._start + frame.index * self._stride
        if next_frame is None and position == len(self._files):
            position -= 1
        if position >= len(self._files):
            raise self._miscounted(f"at least {position + 1}")
        path = self._files[position]
        if path.suffix.lower() == ".flo":
            flow = read_flo(path)
            self.amount.add(flow * np.float32(frame.pixels.shape[1] / flow.shape[1]), frame)
            image = color_flow(flow)
        else:
            image = read_image(path)
        return Bicubic((image.shape[1], image.shape[0]), self._size)(image)

    def _miscounted(self, frames: str) -> InputError:
        return InputError(
            f"{self._folder}: the folder holds {len(self._files)} flow files, the source {frames} frames; expected one "
            "file per frame, or one fewer, and nothing else. Compute the flow of this source again"
        )


def read_flo(path: Path) -> NDArray[np.float32]:
    """Read a Middlebury `.flo` file: (H, W, 2) float32 px, NaN for vectors marked as unknown. Raises InputError."""
    try:
        stored = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the flow file cannot be read ({error.strerror})") from error
    if stored[:4] != _FLO_MAGIC:
        raise InputError(
            f"{path}: not a .flo file: it begins with {stored[:4]!r}; expected the number 202021.25 ({_FLO_MAGIC!r}), "
            "then width, height, and u, v for each pixel"
        )
    width, height = (int(side) for side in np.frombuffer(stored[4:12].ljust(8, b"\0"), "<i4"))
    expected_bytes = 12 + 8 * width * height
    if width < 1 or height < 1 or len(stored) != expected_bytes:
        raise InputError(
            f"{path}: the flow file is damaged: got {len(stored)} bytes, expected {expected_bytes} for the "
            f"{width}x{height} of its header; compute it again"
        )
    flow = np.frombuffer(stored, "<f4", offset=12).reshape(height, width, 2).astype(np.float32)  # (H, W, 2)
    flow[(np.abs(flow) > _UNKNOWN_PX).any(axis=2)] = np.nan
    return flow


def resize_flow(flow: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize flow (h, w, 2) to `size` (W, H): bilinear, half-pixel centers, its vectors in pixels of the new grid."""
    height, width = flow.shape[:2]
    resized = np.asarray(cv2.resize(np.ascontiguousarray(flow), size, interpolation=cv2.INTER_LINEAR), np.float32)
    resized *= np.array([size[0] / width, size[1] / height], np.float32)
    return resized


def _flow_files(folder: Path) -> list[Path]:
    """Find the `.flo` files in `folder`, or else its images, in natural order. Raises InputError if there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with .flo files or flow images, one per frame")
    files = [path for path in folder.iterdir() if path.is_file()]
    flow_files = [path for path in files if path.suffix.lower() == ".flo" and not path.name.startswith(".")]
    chosen = flow_files or [path for path in files if is_image(path)]
    if not chosen:
        raise InputError(
            f"{folder}: the folder holds {len(files)} files, but no flow; expected .flo files or flow images "
            "(png, jpg), one per frame"
        )
    return in_natural_order(chosen)
