"""Segmentation of videos in Python: frames in, masks out."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import Any, NoReturn

from numpy.typing import NDArray

from .backends.base import Backend
from .closeable import Closeable
from .errors import BackendError, InputError
from .files.bundled_network import DEFAULT_AMCNET as DEFAULT_AMCNET
from .flow.flow import Flow
from .flow.learned_flow import load_flow_network
from .frame import Frame, MaskFrame
from .loaded_process import LoadedProcess
from .mask_networks import MaskNetwork, open_network
from .opencv_state import single_threaded_opencv
from .prefetch import prefetch
from .segmenter_plan import SegmenterPlan
from .stage_times import StageTimes
from .video.live_frames import live_frames
from .video.reader import FrameReader
from .video.selection import Selection


class Segmenter(Closeable):
    """Segments the main moving object in every frame of a video, with AMC-Net and a source of optical flow.

        with Segmenter.load() as segmenter:
            for m in segmenter.video("clip.mp4"):
                m.mask, m.pts_seconds

    Made by `Segmenter.load`. A context manager: `close` releases the network. One object segments one video after the
    other, called from one thread; it cannot be used in a process forked after it was loaded (BackendError).
    """

    def __init__(self, plan: SegmenterPlan, network: MaskNetwork, flow_network: Backend | None = None) -> None:
        """`network` has loaded the file of `plan`, and `flow_network` its flow network, by default loaded when needed.

        Both are closed with this Segmenter. Users call `load`.
        """
        self.plan = plan
        self.file = plan.file
        self.network = network
        self._loaded = LoadedProcess()
        self._flow_network = flow_network

    @classmethod
    def open(cls, plan: SegmenterPlan) -> Segmenter:
        """Load the network of `plan`. Raises BackendError, EngineError or ModelFileError."""
        return cls(plan, open_network(plan))

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
        temporal: bool = True,
        device: str = "cpu",
        precision: str = "auto",
        model: str = "light",
        explain: bool = False,
    ) -> Segmenter:
        """Load a network.

            Segmenter.load()                                                # the bundled network, flow by OpenCV
            Segmenter.load(model="base")                                    # the larger one
            Segmenter.load("amcnet.onnx", flow="pwcnet.onnx", device="cuda")
            Segmenter.load(engine="pipeline.engine")

        Args:
            amcnet: ONNX file of an AMC-Net, from `export_amcnet` or `calibrate`. None: the bundled network `model`.
            engine: engine of an AMC-Net or a pipeline, from `build_engine`, in place of `amcnet`. A pipeline computes
                its flow itself.
            trust: load engines whose SHA-256 differs from the one on their card. Engines are code.
            flow: source of optical flow: "dis" (OpenCV, no weights), the ONNX file or engine of a PWC-Net or RAFT, or a
                folder of `.flo` files or flow images, one per frame.
            threshold: probability from which on a pixel belongs to the mask, between 0 and 1 (both excluded).
            crf: compute the masks by a dense CRF over probabilities and colors; 3 s per frame at 854x480.
            temporal: average the probabilities of each frame and its two neighbors along the optical flow; see
                docs/benchmarks.md. A pipeline keeps its flow to itself and is not filtered.
            device: "cpu" or "cuda" (an NVIDIA GPU) for ONNX files; never replaced by the other. Engines run on the GPU.
            precision: of a bundled network: "fp32", "bf16", "int8", or "auto" (BF16 in OpenVINO or INT8, on CPUs with
                instructions for it). An `amcnet` file has a precision of its own; "bf16" computes an FP32 file in BF16.
            model: bundled network: "light" (256x256) or "base" (384x384, slower, more accurate).
            explain: set `MaskFrame.explanation`, from a file exported with `--with-attention`. "auto" is "fp32" then.

        Raises:
            InputError: an argument is out of range, or two of them exclude each other.
            ModelFileError: an ONNX file is missing, was not made by this package, or holds another model.
            EngineError: an engine is missing, cannot run on this machine, or differs from its card.
            BackendError: an inference library, the GPU, or for "bf16" the CPU's instructions are missing.
        """
        return cls.open(
            SegmenterPlan.make(
                amcnet,
                engine=engine,
                trust=trust,
                flow=flow,
                threshold=threshold,
                crf=crf,
                temporal=temporal,
                device=device,
                precision=precision,
                model=model,
                explain=explain,
            )
        )

    def video(
        self,
        source: str | Path,
        *,
        start: int = 0,
        frames: int | None = None,
        stride: int = 1,
        duration: float | None = None,
        video_stream: int | None = None,
        deinterlace: str = "auto",
    ) -> Generator[MaskFrame, None, None]:
        """Segment `source`: one `MaskFrame` per frame, in order of presentation.

            for m in segmenter.video("clip.mp4", start=100, frames=50):
                print(m.pts_seconds, m.mask.mean())

        The arguments and errors are those of `open_frames`. Decoding, flow and network run in threads of their own, a
        few frames ahead; memory does not grow with the length of the video. Closing or dropping the generator ends the
        threads.
        """
        self._loaded.require()
        selection = Selection(
            start=start,
            frames=frames,
            stride=stride,
            duration=duration,
            video_stream=video_stream,
            deinterlace=deinterlace,
        )
        with FrameReader.open(source, selection) as reader, self.open_flow(reader) as flow:
            yield from self.masks(reader, flow)

    def masks(
        self, frames: Iterable[Frame], flow: Flow | None = None, times: StageTimes | None = None
    ) -> Generator[MaskFrame, None, None]:
        """Segment frames of the caller's own, from memory for example; see examples/own_frames.py.

            frames = (Frame.from_array(image, index=i, pts_seconds=i / 25) for i, image in enumerate(images))
            for m in segmenter.masks(frames):
                ...

        Args:
            frames: `Frame` objects. A mask needs the next frame for its flow, so it comes one frame later, and
                with the temporal filter two frames later.
            flow: an open source of flow, closed by the caller. None: the one that was named to `load`.
            times: collects the ms per frame of decoding, flow, preparation, network and upsampling.

        OpenCV uses one thread per call until the generator ends.
        """
        self._loaded.require()
        times = times or StageTimes()
        with ExitStack() as stack:
            if flow is None:
                flow = stack.enter_context(self.open_flow())
            stack.enter_context(single_threaded_opencv)
            read = stack.enter_context(closing(prefetch(_timed(frames, times))))
            made = stack.enter_context(closing(self.network.masks(read, flow, times)))
            yield from stack.enter_context(closing(prefetch(made)))

    def stream(
        self, frames: Iterable[NDArray[Any] | Frame], *, order: str = "rgb", times: StageTimes | None = None
    ) -> Generator[MaskFrame, None, None]:
        """Segment frames as they arrive, from a camera for example; see examples/live_camera.py.

            for m in segmenter.stream(camera_frames(), order="bgr"):
                ...

        The mask of a frame comes as soon as the next frame has arrived, and the frame after that is asked for only when
        the caller takes the following mask: the delay is one frame, and nothing is queued. All work is done in the
        caller's thread, one frame at a time; `masks` is faster for frames that wait already.

        Args:
            frames: uint8 or uint16 (full range), (H, W), (H, W, 3) or (H, W, 4), contiguous or not; copied, so that one
                array may be used again. `pts_seconds` is the time since the first frame; a `Frame` keeps its own.
            order: order of the channels, "rgb" or "bgr" (OpenCV).
            times: collects the ms per frame of each stage; "decode" is the wait for `frames`.

        Raises InputError for other arrays. OpenCV uses one thread per call until the generator ends.
        """
        self._loaded.require()
        times = times or StageTimes()
        with (
            self.open_flow() as flow,
            single_threaded_opencv,
            closing(self.network.masks(_timed(live_frames(frames, order), times), flow, times, live=True)) as made,
        ):
            yield from made

    def open_flow(self, reader: FrameReader | None = None) -> AbstractContextManager[Flow | None]:
        """As `SegmenterPlan.open_flow`; a flow network is loaded for the first video and stays loaded for the next.

        Raises InputError for a folder of flow that does not fit; BackendError, EngineError or ModelFileError.
        """
        source = self.plan.flow
        if self._flow_network is None and source is not None and source.model is not None:
            self._flow_network = load_flow_network(source.model, self.plan.device)
        return self.plan.open_flow(reader, self._flow_network)

    def __reduce__(self) -> NoReturn:
        raise BackendError(
            "a Segmenter holds a loaded network, which cannot be copied or sent to another process. "
            "Fix: call Segmenter.load there"
        )

    def close(self) -> None:
        """Release the networks; closing twice is allowed."""
        if self._loaded.is_this:
            self.network.close()
            if self._flow_network is not None:
                self._flow_network.close()


def _timed(frames: Iterable[Frame], times: StageTimes) -> Iterator[Frame]:
    source = iter(frames)
    while True:
        with times("decode"):
            frame = next(source, None)
        if frame is None:
            return
        if not isinstance(frame, Frame):
            raise InputError(
                f"got a {type(frame).__qualname__} among the frames, expected amcnet.Frame. Fix: "
                "Frame.from_array(array, index=i, pts_seconds=i / 25), or Segmenter.stream(arrays)"
            )
        yield frame
