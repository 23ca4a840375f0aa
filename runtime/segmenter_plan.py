"""What a Segmenter will load: its files and options, checked before any inference library is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .backends.base import DEVICES, NetworkFile
from .backends.open_backend import require_library
from .backends.openvino_backend import is_installed
from .errors import InputError
from .files.bundled_network import bundled_network
from .files.onnx_file import PREPROCESSING, OnnxFile
from .flow.flow import DisFlow, Flow, FlowInside, PrecomputedFlow
from .flow.pwcnet_flow import PwcFlow
from .model_files import read_engine, read_flow
from .preprocessing.spec import Preprocessing
from .refine.crf import require_crf
from .video.reader import FrameReader

INT8_PAYS_FROM_FRAMES = 500
"""Between the two break-even points of benchmarks/studies/startup.py: INT8 saves 4 ms per frame on two cores, and its
first mask comes 0.7 s of processor time later than with FP32 from a filled cache (160 frames), 4.7 s from an empty one
(1100).
"""


@dataclass(frozen=True, kw_only=True)
class SegmenterPlan:
    """`file` is the AMC-Net or pipeline, `flow_file` the PWC-Net that `flow` names, None if it names another source."""

    file: NetworkFile
    flow: str | Path
    flow_file: NetworkFile | None
    threshold: float
    crf: bool
    device: str

    @classmethod
    def make(
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
        frames: int | None = None,
    ) -> SegmenterPlan:
        """Arguments as of `Segmenter.load`; `frames` is how many there will be, if that is known: for "auto".

        Raises ModelFileError, EngineError, InputError, or BackendError for a library that is not installed.
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
            file = OnnxFile.read(amcnet or bundled_network(_pays_off(precision, frames), device), "amcnet")
        flow_file = read_flow(Path(flow), trust)
        for needed in (file, flow_file):
            if needed is not None:
                require_library(needed, device)
        if crf:
            require_crf()
        return cls(file=file, flow=flow, flow_file=flow_file, threshold=threshold, crf=crf, device=device)

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing.from_json(self.file.metadata[PREPROCESSING])

    def open_flow(self, reader: FrameReader, start: int, frames: int | None, stride: int) -> Flow:
        """The source of flow for the frames of `reader`, which was opened with these. A PWC-Net is loaded here."""
        if self.file.model == "pipeline":
            return FlowInside()
        size = self.preprocessing.size
        if self.flow_file is not None:
            return PwcFlow(self.flow_file, size, self.device)
        if str(self.flow) == "dis":
            return DisFlow(size)
        expected = reader.info.expected_frames if frames is None else None
        return PrecomputedFlow(Path(self.flow), size, start=start, stride=stride, expected_frames=expected)


def _pays_off(precision: str, frames: int | None) -> str:
    """For "auto" and a few frames, "fp32" where OpenVINO is installed: int8 saves less than its loading costs."""
    few = frames is not None and frames < INT8_PAYS_FROM_FRAMES
    return "fp32" if precision == "auto" and few and is_installed() else precision
