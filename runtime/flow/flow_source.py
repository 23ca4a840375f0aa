"""Source of optical flow as a value: parsed once from "dis", a file or a folder, opened once per video."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..backends.base import Backend, NetworkFile
from ..errors import InputError
from ..files.onnx_file import FLOW_MODELS, OnnxFile
from ..trt.card import EngineFile
from ..video.reader import FrameReader
from .flow import DisFlow, Flow, PrecomputedFlow
from .learned_flow import LearnedFlow


@dataclass(frozen=True, kw_only=True)
class FlowSource:
    """DIS, a PWC-Net or RAFT (`model`), or a folder of precomputed flow (`folder`); `name` is the text parsed."""

    name: str = "dis"
    model: NetworkFile | None = None
    folder: Path | None = None

    @classmethod
    def parse(cls, flow: str | Path, *, trust: bool = False) -> FlowSource:
        """`flow` is "dis", the ONNX file or engine of a PWC-Net or RAFT, or a folder; `trust` as for `EngineFile.read`.

        Raises InputError for anything else, ModelFileError or EngineError for a file of another model.
        """
        name, path = str(flow), Path(flow)
        if name == "dis":
            return cls()
        if path.suffix == ".onnx":
            return cls(name=name, model=OnnxFile.read(path, *FLOW_MODELS))
        if path.suffix == ".engine":
            return cls(name=name, model=EngineFile.read(path, *FLOW_MODELS, trust=trust))
        if path.is_dir():
            return cls(name=name, folder=path)
        raise InputError(f"flow {name!r} is neither 'dis', a file of PWC-Net or RAFT, nor a folder of flow files")

    def open(
        self,
        size: tuple[int, int],
        reader: FrameReader | None = None,
        device: str = "cpu",
        network: Backend | None = None,
    ) -> Flow:
        """Open the source for one video. A network is loaded here, on `device` ("cpu" or "cuda") if it is an ONNX file.

        size: (width, height) of the segmentation network's input in pixels. reader: the frames to come; its selection
        decides which precomputed file belongs to which frame. None: frames of the caller's own, file n for frame n.
        network: has loaded `model` before, and stays open.
        Raises InputError for a folder without flow or with a wrong number of files; BackendError, EngineError.
        """
        if self.model is not None:
            return LearnedFlow(self.model, size, device, backend=network)
        if self.folder is None:
            return DisFlow(size)
        if reader is None:
            return PrecomputedFlow(self.folder, size)
        selection = reader.selection
        to_the_end = selection.frames is None and selection.duration is None
        expected = reader.info.expected_frames if to_the_end else None
        return PrecomputedFlow(
            self.folder, size, start=selection.start, stride=selection.stride, expected_frames=expected
        )
