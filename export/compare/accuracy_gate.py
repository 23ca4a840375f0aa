"""The gate: a file in lower precision, or the engine made of it, against the FP32 file on the frames of real clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ...runtime.errors import EngineError
from ...runtime.files.onnx_file import CHECKPOINT_SHA256, OnnxFile
from .fidelity import Run, flow_fidelity, mask_fidelity
from .onnx_run import onnx_run

InputBatches = Sequence[Mapping[str, NDArray[Any]]]
"""Inputs by name, one mapping a frame."""

MIN_MEAN_IOU = {"fp32": 0.995, "fp16": 0.995, "int8": 0.98}
MAX_FLOW_PX = {"fp32": 0.05, "fp16": 0.05, "int8": 0.5}
_ADVICE = {
    "fp32": "report it with what amc-check says",
    "fp16": "build it without --fp16",
    "int8": "leave more of its layers in float (amc-calibrate --search), or build it with --fp16",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class OpenEngine:
    """An engine that is loaded: how to run it, and what the inspector says of its layers."""

    run: Run
    layers: list[dict[str, Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class AccuracyGate:
    """`reference` is the FP32 file, `feeds` what both get.

    A mask is held to a mean IoU of `min_iou`, None for 0.98 in int8 and 0.995 in others; flow to a median end-point
    difference of 0.5 and 0.05 px. `on_phase` gets a line about each frame.
    """

    reference: OnnxFile
    input_batches: InputBatches
    min_iou: float | None
    on_phase: Callable[[str], None]

    def file(self, file: OnnxFile, scratch: Path) -> dict[str, Any]:
        """The accuracy of `file` in ONNX Runtime on the CPU, as the card has it.

        EngineError, with the figures, for what misses its bound, and if it is of another checkpoint than the reference.
        """
        from .fp16_emulation import emulate_fp16

        path, how = file.path, ""
        if file.precision != "fp32":  # int8 files have halves too, if they are for SM 7.5
            path = scratch / "rounded.onnx"
            emulate_fp16(file.path, path)
        if file.precision == "fp16":
            how = ", every half rounded to 16 bits"
        return self._measured(file, onnx_run(path), f"{file.path.name} in ONNX Runtime on the CPU{how}")

    def engine(self, file: OnnxFile, run: Run, gpu: str) -> dict[str, Any]:
        """The accuracy of the engine built of `file`, which `run` runs. Raises as `file`."""
        return self._measured(file, run, f"the engine of {file.path.name} on {gpu}")

    def _measured(self, file: OnnxFile, candidate: Run, of: str) -> dict[str, Any]:
        reference = self.reference
        if reference.precision != "fp32" or reference.metadata[CHECKPOINT_SHA256] != file.metadata[CHECKPOINT_SHA256]:
            raise EngineError(
                f"{reference.path} is {reference.precision} of the checkpoint {reference.metadata[CHECKPOINT_SHA256]}; "
                f"to compare {file.path.name} with, expected fp32 of {file.metadata[CHECKPOINT_SHA256]}: --reference"
            )
        input_batches = with_progress(self.input_batches, f"comparing {of}", self.on_phase)
        measured: dict[str, Any]
        if file.model == "pwcnet":
            flow = flow_fidelity(onnx_run(reference.path), candidate, input_batches)
            bound = MAX_FLOW_PX[file.precision]
            kept = flow.median_px <= bound
            found = f"the median flow difference over {flow.frames} frames is {flow.median_px:.3g} px; expected at most"
            measured = {"flow": flow.to_json(), "max_median_px": bound}
        else:
            mask = mask_fidelity(onnx_run(reference.path), candidate, input_batches)
            bound = min_iou_for(file.precision, self.min_iou)
            kept = mask.mean_iou >= bound
            found = f"the mean mask IoU over {len(mask.iou)} frames is {mask.mean_iou:.4f}; expected at least"
            measured = {"mask": mask.to_json(), "min_iou": bound}
        if not kept:
            untrained = "; its weights are untrained, and what they give tips over easily" if file.untrained else ""
            raise EngineError(
                f"{of} differs from {reference.path.name} too much: {found} {bound:g}{untrained}; "
                f"{_ADVICE[file.precision]}"
            )
        return {"of": of, "against": reference.path.name} | measured


def accuracy_sentence(measured: Mapping[str, Any]) -> str:
    """What `Gate.file` or `Gate.engine` gave, in words: `mean IoU 0.9812 over 25 frames (minimum 0.98)`."""
    if "mask" in measured:
        mask = measured["mask"]
        return f"mean IoU {mask['mean_iou']:.4f} over {_frames(mask)} (minimum {measured['min_iou']:g})"
    flow = measured["flow"]
    bound = measured["max_median_px"]
    return f"median flow difference {flow['median_px']:.3g} px over {_frames(flow)} (maximum {bound:g} px)"


def _frames(measured: Mapping[str, Any]) -> str:
    return f"{measured['frames']} frame{'' if measured['frames'] == 1 else 's'}"


def min_iou_for(precision: str, min_iou: float | None) -> float:
    """`min_iou`, which may be 0, or the default of this precision for None."""
    return MIN_MEAN_IOU[precision] if min_iou is None else min_iou


def with_progress(
    input_batches: InputBatches, what: str, on_phase: Callable[[str], None]
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """`feeds`, and a line about each."""
    for index, feed in enumerate(input_batches, 1):
        on_phase(f"{what}, frame {index}/{len(input_batches)}")
        yield feed
