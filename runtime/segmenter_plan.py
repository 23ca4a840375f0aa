"""Files and options of a Segmenter, checked before any inference library is imported."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .backends.base import Backend, NetworkFile
from .backends.open_backend import require_bf16, require_library
from .backends.openvino_backend import is_installed
from .errors import InputError
from .explanation import Explanation, require_explainable
from .files.bundled_network import MODELS, bundled_network
from .files.onnx_file import OnnxFile
from .flow.flow import Flow
from .flow.flow_source import FlowSource
from .frame import Frame, MaskFrame
from .machine_info import DEVICES, is_amd, is_arm, multiplies_bf16
from .refine.crf import refine, require_crf
from .stage_times import StageTimes
from .trt.card import EngineFile
from .video.reader import FrameReader

INT8_PAYS_FROM_FRAMES = {"light": 500, "base": 220}
"""For each bundled network. light: between the two break-even points of benchmarks/studies/startup.py: INT8 saves 4 ms
per frame on two cores. Its first mask takes 0.7 s of processor time more than in FP32 with a filled cache (160 frames),
3.7 s with an empty one (930). base: derived from that. Loading compiles the same operators, in 6.6 instead of 6.1 s in
INT8 (on a CPU without VNNI), and INT8 saves 2.25 times as much per frame, that of the products that it computes.
"""

BF16_CHECKED = ("light",)
"""Bundled networks whose masks in BF16 were compared with those in FP32 (benchmarks/results/bf16.json). "auto" selects
BF16 for them alone.
"""


@dataclass(frozen=True, kw_only=True)
class SegmenterPlan:
    """`file` is an AMC-Net, or a pipeline, which computes its flow itself: then `flow` is None.

    model: the bundled network that `file` holds, None for a network of the caller's own.
    threshold and crf define the mask of a probability, see `mask_frame`; device is "cpu" or "cuda". temporal: whether
    probabilities are averaged along the flow, which a pipeline keeps to itself: then it is False. bf16: compute `file`,
    which is FP32, in BF16. explain: whether masks come with an explanation.
    """

    file: NetworkFile
    flow: FlowSource | None
    threshold: float
    crf: bool
    temporal: bool
    device: str
    bf16: bool = False
    explain: bool = False
    model: str | None = None

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
        temporal: bool = True,
        device: str = "cpu",
        precision: str = "auto",
        model: str = "light",
        explain: bool = False,
        frames: int | None = None,
    ) -> SegmenterPlan:
        """Check the arguments of `Segmenter.load`. frames: number of frames to come if it is known, for "auto".

        Raises ModelFileError, EngineError, InputError, or BackendError for a library that is not installed.
        """
        if not 0 < threshold < 1:
            raise InputError(f"threshold is {threshold}; expected a number between 0 and 1, such as 0.5")
        if device not in DEVICES:
            raise InputError(f"device is {device!r}; expected {' or '.join(DEVICES)}")
        if model not in MODELS:
            raise InputError(f"model is {model!r}; expected {' or '.join(MODELS)}")
        if amcnet is not None and engine is not None:
            raise InputError(f"both {amcnet} and {engine} were given; expected one network. Fix: leave out one")
        if engine is not None and precision != "auto":
            raise InputError(f"precision {precision} was given, but {engine} has its own. Fix: leave out --precision")
        if amcnet is not None and precision not in ("auto", "bf16"):
            raise InputError(f"precision {precision} was given, but {amcnet} has its own. Fix: leave out --precision")
        own = amcnet or engine
        if own is not None and model != MODELS[0]:
            raise InputError(f"model {model} was given, but {own} is another network. Fix: leave out --model")
        source: FlowSource | None = FlowSource.parse(flow, trust=trust)
        file: NetworkFile
        if engine is None:
            if amcnet is None and explain and precision == "auto":
                precision = "fp32"
            elif amcnet is None:
                precision = _faster(model, precision, device, frames)
            file = OnnxFile.read(amcnet or bundled_network(model, precision, device), "amcnet")
        else:
            file = EngineFile.read(engine, "amcnet", "pipeline", trust=trust)
        if file.model == "pipeline":
            if source != FlowSource():
                raise InputError(
                    f"flow {str(flow)!r} was given, but {file.path} computes its own. Fix: leave out --flow"
                )
            source = None
        if explain:
            require_explainable(file)
        bf16 = precision == "bf16"
        if bf16:
            require_bf16(file, device)
        temporal = temporal and source is not None
        plan = cls(
            file=file,
            flow=source,
            threshold=threshold,
            crf=crf,
            temporal=temporal,
            device=device,
            bf16=bf16,
            explain=explain,
            model=model if own is None else None,
        )
        for needed in plan.files.values():
            require_library(needed, device, bf16=bf16 and needed is file)
        if crf:
            require_crf()
        return plan

    @property
    def files(self) -> dict[str, NetworkFile]:
        """All files that will be loaded, by the model that they hold."""
        flow_model = self.flow.model if self.flow else None
        return {self.file.model: self.file} | ({flow_model.model: flow_model} if flow_model else {})

    @property
    def precision(self) -> str:
        """The precision in which the network is computed: fp32, bf16, fp16 or int8."""
        return "bf16" if self.bf16 else self.file.precision

    @property
    def on_gpu(self) -> bool:
        """Whether the network runs on a GPU: on "cuda", or as an engine."""
        return self.device == "cuda" or isinstance(self.file, EngineFile)

    def open_flow(
        self, reader: FrameReader | None = None, network: Backend | None = None
    ) -> AbstractContextManager[Flow | None]:
        """The source of flow for the frames of `reader`, as `FlowSource.open`; None for a pipeline."""
        if self.flow is None:
            return nullcontext()
        return self.flow.open(self.file.preprocessing.size, reader, self.device, network)

    def mask_frame(
        self,
        frame: Frame,
        probability: NDArray[np.float32],
        times: StageTimes,
        explanation: Explanation | None = None,
    ) -> MaskFrame:
        """The mask of `probability` (H, W): by the threshold, or by a dense CRF with the colors of `frame`."""
        if not self.crf:
            return MaskFrame(frame, probability >= self.threshold, probability, explanation)
        with times("crf"):
            return MaskFrame(frame, refine(frame.pixels, probability), probability, explanation)


def _faster(model: str, precision: str, device: str, frames: int | None) -> str:
    """For "auto" on a CPU, the faster of FP32, BF16 and INT8; "auto" where that depends on its INT8 instructions alone.

    In OpenVINO, BF16 is faster than INT8, its masks are closer to those of FP32, and it starts almost as fast as FP32
    (benchmarks/results/bf16.json). INT8 saves less time on few frames than its loading takes. In ONNX Runtime, INT8 is
    slower than FP32 on an AMD EPYC (cpu-speed-light-bf16.json), and was faster on an Intel Xeon.
    """
    if precision != "auto" or device != "cpu":
        return precision
    if not is_installed():
        return "fp32" if is_amd() else precision
    if model in BF16_CHECKED and multiplies_bf16() and not is_arm():
        return "bf16"
    return "fp32" if frames is not None and frames < INT8_PAYS_FROM_FRAMES[model] else precision
