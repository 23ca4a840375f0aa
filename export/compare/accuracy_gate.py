"""Accuracy gate: comparison of a file in lower precision, or an engine built from it, with the FP32 file."""

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
"""Input batches of a network, one for each frame: input name -> array."""

MIN_MEAN_IOU = {"fp32": 0.995, "fp16": 0.995, "int8": 0.98}
MAX_FLOW_PX = {"fp32": 0.05, "fp16": 0.05, "int8": 0.5}
_FIXES = {
    "fp32": "report this with the output of amc-check",
    "fp16": "build in FP32, without --fp16",
    "int8": "keep more layers in FP32 (amc-calibrate --search), or build with --fp16",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class OpenEngine:
    """A loaded engine: a function that runs it, and its layers as reported by TensorRT's engine inspector."""

    run: Run
    layers: list[dict[str, Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class AccuracyGate:
    """Compares files and engines with the FP32 file `reference` on `input_batches`.

    min_iou: minimum mean IoU of the masks, 0 to 1; None for 0.98 in INT8 and 0.995 otherwise. The median end-point
    difference of flow may be 0.5 px in INT8 and 0.05 px otherwise. on_phase: called with one line for each frame.
    """

    reference: OnnxFile
    input_batches: InputBatches
    min_iou: float | None
    on_phase: Callable[[str], None]

    def file(self, file: OnnxFile, scratch: Path) -> dict[str, Any]:
        """Measure the accuracy of `file` in ONNX Runtime on the CPU; temporary files go to the folder `scratch`.

        Returns {"of", "against", "mask" or "flow", and the bound}, as in the card of an engine. Raises EngineError if
        the bound is missed or `file` is of another checkpoint than the reference.
        """
        from .fp16_emulation import emulate_fp16

        path, how = file.path, ""
        if file.precision != "fp32":  # INT8 files for SM 7.5 have FP16 operators, too
            path = scratch / "rounded.onnx"
            emulate_fp16(file.path, path)
        if file.precision == "fp16":
            how = " with emulated FP16"
        return self._measured(file, onnx_run(path), f"{file.path.name} in ONNX Runtime on the CPU{how}")

    def engine(self, file: OnnxFile, run: Run, gpu: str) -> dict[str, Any]:
        """Measure the accuracy of an engine built from `file`, which `run` runs on `gpu`. Raises as `file`."""
        return self._measured(file, run, f"engine of {file.path.name} on {gpu}")

    def _measured(self, file: OnnxFile, candidate: Run, of: str) -> dict[str, Any]:
        reference = self.reference
        if reference.precision != "fp32" or reference.metadata[CHECKPOINT_SHA256] != file.metadata[CHECKPOINT_SHA256]:
            raise EngineError(
                f"{reference.path} is not the FP32 file of {file.path.name}: got {reference.precision} of checkpoint "
                f"{reference.metadata[CHECKPOINT_SHA256]}, expected fp32 of {file.metadata[CHECKPOINT_SHA256]}. "
                "Fix: name that file with --reference"
            )
        input_batches = with_progress(self.input_batches, f"comparing {of}", self.on_phase)
        measured: dict[str, Any]
        if file.computes_flow:
            flow = flow_fidelity(onnx_run(reference.path), candidate, input_batches)
            bound = MAX_FLOW_PX[file.precision]
            passed = flow.median_px <= bound
            found = (
                f"got a median flow difference of {flow.median_px:.3g} px over {flow.frames} frames, expected at most"
            )
            measured = {"flow": flow.to_json(), "max_median_px": bound}
        else:
            mask = mask_fidelity(onnx_run(reference.path), candidate, input_batches)
            bound = min_iou_for(file.precision, self.min_iou)
            passed = mask.mean_iou >= bound
            found = f"got a mean mask IoU of {mask.mean_iou:.4f} over {len(mask.iou)} frames, expected at least"
            measured = {"mask": mask.to_json(), "min_iou": bound}
        if not passed:
            untrained = " (its weights are untrained: small numeric differences flip many pixels)"
            raise EngineError(
                f"{of} differs from {reference.path.name}: {found} {bound:g}{untrained if file.untrained else ''}. "
                f"Fix: {_FIXES[file.precision]}"
            )
        return {"of": of, "against": reference.path.name} | measured


def accuracy_sentence(measured: Mapping[str, Any]) -> str:
    """Format a result of `AccuracyGate`: `mean IoU 0.9812 over 25 frames (minimum 0.98)`."""
    if "mask" in measured:
        mask = measured["mask"]
        return f"mean IoU {mask['mean_iou']:.4f} over {_frames(mask)} (minimum {measured['min_iou']:g})"
    flow = measured["flow"]
    bound = measured["max_median_px"]
    return f"median flow difference {flow['median_px']:.3g} px over {_frames(flow)} (maximum {bound:g} px)"


def _frames(measured: Mapping[str, Any]) -> str:
    return f"{measured['frames']} frame{'' if measured['frames'] == 1 else 's'}"


def min_iou_for(precision: str, min_iou: float | None) -> float:
    """Return `min_iou`, which may be 0, or the default of `precision` for None."""
    return MIN_MEAN_IOU[precision] if min_iou is None else min_iou


def with_progress(
    input_batches: InputBatches, what: str, on_phase: Callable[[str], None]
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Iterate over `input_batches` and report each: `comparing x.onnx, frame 3/40`."""
    for index, inputs in enumerate(input_batches, 1):
        on_phase(f"{what}, frame {index}/{len(input_batches)}")
        yield inputs
