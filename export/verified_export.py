"""Writing of a network to an ONNX file that computes what PyTorch computes."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..runtime.extras import require
from ..runtime.files import onnx_file
from ..runtime.files.atomic import make_folder, replacing
from ..runtime.files.onnx_file import OnnxFile
from ..runtime.preprocessing.spec import Preprocessing
from ..runtime.version import __version__
from .lowering import lower
from .onnx_model import save, store_weights_fp16, to_onnx
from .verification import MAX_DIFFERENCE, MAX_DIFFERENCE_ROUNDED, verify


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Options that all exports share.

    Args:
        opset: ONNX opset of the file, 17 or 18.
        dynamic_batch: leave the first dimension of all inputs and outputs free. Not for `export_pipeline`.
        fp16_weights: store weights in FP16, which halves the file. Inputs, outputs and arithmetic stay FP32.
    """

    opset: int = 17
    dynamic_batch: bool = False
    fp16_weights: bool = False


@dataclass(frozen=True, kw_only=True)
class Exported:
    """An exported file.

    max_difference: largest absolute difference between the outputs of ONNX Runtime and PyTorch on a generated frame
    pair, in probability for masks and in pixels for flow.
    """

    file: OnnxFile
    max_difference: float


class TwoInputs(nn.Module):
    """Wraps a network of two inputs; `run` calls it and returns the tuple of tensors to export."""

    def __init__(self, network: nn.Module, run: Callable[..., tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.network = network
        self.run = run

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
        return self.run(self.network, first, second)


def export_verified(
    network: TwoInputs,
    inputs: Mapping[str, Tensor],
    outputs: list[str],
    path: Path,
    options: ExportOptions | None,
    metadata: dict[str, str],
) -> Exported:
    """Export `network` to `path`.

    Args:
        network: called with the two `inputs`; its parameters are released.
        inputs: name -> example, for shapes and for the comparison with PyTorch.
        outputs: names of what `network` returns.
        path: file to write, only if its outputs agree.
        options: None: `ExportOptions()`.
        metadata: of the file, from `metadata_of`.

    Raises ModelFileError, OutputError, BackendError as `export_amcnet`.
    """
    require("an export", "onnxscript", "onnxruntime")  # checked first: the export takes 30 s
    options = options or ExportOptions()
    with torch.inference_mode():
        expected = [tensor.numpy() for tensor in network(*inputs.values())]
    make_folder(path.parent)
    with replacing(path) as temporary:
        model = to_onnx(
            lower(network),
            inputs,
            outputs,
            opset=options.opset,
            dynamic_batch=options.dynamic_batch,
            metadata=metadata,
        )
        if options.fp16_weights:
            store_weights_fp16(model.graph)
        save(model, temporary)
        # Free the weights (628 MB for ResNet-101) before ONNX Runtime loads them.
        del model
        network.network = nn.Identity()
        gc.collect()
        rounds = options.fp16_weights or metadata[onnx_file.MODEL] == "pipeline"
        allowed = MAX_DIFFERENCE_ROUNDED if rounds else MAX_DIFFERENCE
        max_difference = verify(temporary, inputs, expected, allowed, path.name)
    return Exported(file=OnnxFile.read(path), max_difference=max_difference)


def metadata_of(model: str, checkpoint: str, prepare: Preprocessing) -> dict[str, str]:
    """Metadata of an FP32 file of `model`. checkpoint: its SHA-256, or the name of a seed."""
    return {
        onnx_file.MODEL: model,
        onnx_file.CHECKPOINT_SHA256: checkpoint,
        onnx_file.PRECISION: "fp32",
        onnx_file.PREPROCESSING: prepare.to_json(),
        onnx_file.TOOL_VERSION: __version__,
    }
