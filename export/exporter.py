"""Export checkpoints to ONNX files, each verified against PyTorch before it is written."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..models import (
    RAFT,
    AMCNet,
    AMCNetConfig,
    PWCNet,
    RAFTConfig,
    load_amcnet,
    load_pwcnet,
    load_raft,
    seed_weights,
)
from ..runtime.extras import require
from ..runtime.files import onnx_file
from ..runtime.files.atomic import make_folder, replacing
from ..runtime.files.onnx_file import OnnxFile, file_sha256
from ..runtime.preprocessing import spec
from ..runtime.version import __version__
from .lowering import lower
from .onnx_model import save, store_weights_fp16, to_onnx
from .padded_raft import PaddedRAFT
from .pipeline_module import Pipeline
from .pipeline_module import preprocessing as pipeline_preprocessing
from .verification import MAX_DIFFERENCE, MAX_DIFFERENCE_ROUNDED, frame_pair, normalized, verify


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


@dataclass(frozen=True, kw_only=True)
class Seed:
    """Untrained weights from a random seed, in place of a checkpoint: for timing and for building engines."""

    number: int

    @property
    def name(self) -> str:
        return f"untrained, seed {self.number}"


Weights = Path | Seed
"""A checkpoint (.pth, .tar, .safetensors), or a seed for untrained weights."""


def export_amcnet(
    weights: Weights,
    folder: Path,
    options: ExportOptions | None = None,
    *,
    config: AMCNetConfig | None = None,
    size: tuple[int, int] = spec.AMCNET.size,
    with_attention: bool = False,
) -> Exported:
    """Export AMC-Net to `folder`/amcnet.onnx: image, flow_image (1, 3, H, W) -> mask (1, 1, H, W) in (0, 1).

        exported = export_amcnet(Path("amcnet.pth"), Path("build"), ExportOptions(dynamic_batch=True))
        exported.file.path, exported.max_difference

    Both inputs are FP32, RGB and normalized with the ImageNet mean and standard deviation; flow_image is the color
    image of the optical flow. Network: Yang et al., Learning Motion-Appearance Co-Attention for Zero-Shot Video Object
    Segmentation, ICCV 2021.

    Args:
        weights: checkpoint of AMC-Net, or a `Seed`.
        folder: folder to write to; it is created if it does not exist.
        options: opset, dynamic batch and storage of weights.
        config: architecture for a `Seed`; the architecture of a checkpoint is read from its weights.
        size: (width, height) of the inputs in pixels, multiples of 32. The paper uses 384x384.
        with_attention: add outputs: the attention maps attention0 (H/2, W/2) to attention4 (H/32, W/32), and
            gate_scores (1, 5, 2), the factors of the co-attention gates on image and flow from the finest level. What
            the configuration lacks is left out.

    Raises:
        ValueError: `size` is not a multiple of 32, or the opset is not 17 or 18.
        CheckpointError: the checkpoint cannot be read or is not an AMC-Net.
        ModelFileError: the outputs differ from PyTorch by more than 1e-3 (1e-2 with `fp16_weights`). No file is left.
        OutputError: the file cannot be written. BackendError: ONNX Script or ONNX Runtime is missing.
    """
    if size[0] % 32 or size[1] % 32 or min(size) < 32:
        raise ValueError(f"size: got {size[0]}x{size[1]}, expected multiples of 32")
    network, checkpoint = _load_amcnet(weights, config)
    prepare = replace(spec.AMCNET, size=size)
    frame, next_frame = frame_pair(prepare.size)
    inputs = {"image": normalized(frame, prepare), "flow_image": normalized(next_frame, prepare)}
    outputs = ["mask"]
    if with_attention:
        maps = 0 if network.config.concatenation else network.config.corrections
        outputs += [f"attention{5 - maps + i}" for i in range(maps)]
        if network.config.has_gates:
            outputs.append("gate_scores")
    metadata = _metadata("amcnet", checkpoint, prepare) | {onnx_file.CONFIG: network.config.to_json()}
    wrapped = _Outputs(network, _all_outputs if with_attention else lambda network, *images: (network(*images).mask,))
    return _export(wrapped, inputs, outputs, folder / "amcnet.onnx", options, metadata)


def export_pwcnet(
    weights: Weights, folder: Path, options: ExportOptions | None = None, *, size: tuple[int, int] = (896, 512)
) -> Exported:
    """Export PWC-Net to `folder`/pwcnet.onnx: frame, next_frame (1, 3, H, W) -> flow (1, 2, H/4, W/4).

        exported = export_pwcnet(Path("pwcnet.pth"), Path("build"), size=(832, 448))

    Both inputs are FP32, BGR in [0, 1]. Flow is in pixels of the input grid. Network: Sun et al., PWC-Net, CVPR 2018.

    Args:
        weights: checkpoint of PWC-Net as published by NVlabs or sniklaus, or a `Seed`.
        folder: folder to write to; it is created if it does not exist.
        options: opset, dynamic batch and storage of weights.
        size: (width, height) of the inputs in pixels, multiples of 64.

    Raises:
        ValueError: `size` is not a multiple of 64, or the opset is not 17 or 18.
        CheckpointError: the checkpoint cannot be read or is not a PWC-Net.
        ModelFileError, OutputError, BackendError: as for `export_amcnet`; the difference is in pixels.
    """
    if size[0] % 64 or size[1] % 64 or min(size) < 64:
        raise ValueError(f"size: got {size[0]}x{size[1]}, expected multiples of 64")
    network, checkpoint = _load_pwcnet(weights)
    prepare = spec.pwcnet(size)
    frame, next_frame = frame_pair(size)
    inputs = {"frame": normalized(frame, prepare), "next_frame": normalized(next_frame, prepare)}
    metadata = _metadata("pwcnet", checkpoint, prepare)
    wrapped = _Outputs(network, lambda network, *frames: (network(*frames),))
    return _export(wrapped, inputs, ["flow"], folder / "pwcnet.onnx", options, metadata)


def export_raft(
    weights: Weights,
    folder: Path,
    options: ExportOptions | None = None,
    *,
    config: RAFTConfig | None = None,
    size: tuple[int, int] = (448, 256),
) -> Exported:
    """Export RAFT to `folder`/raft.onnx: frame, next_frame (1, 3, H, W) -> flow (1, 2, H, W).

        exported = export_raft(Path("raft-small.pth"), Path("build"), config=RAFTConfig(iterations=6))

    Both inputs are FP32, RGB in [0, 1]. Flow is in pixels of the input. Padding to multiples of 8 and cropping are part
    of the graph, and the iterations are unrolled. Network: Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms
    for Optical Flow, ECCV 2020.

    Args:
        weights: checkpoint of RAFT as published by princeton-vl, small or large, or a `Seed`.
        folder: folder to write to; it is created if it does not exist.
        options: opset, dynamic batch and storage of weights.
        config: the iterations, and for a `Seed` the architecture; that of a checkpoint is read from its weights.
        size: (width, height) of the inputs in pixels. Memory grows with the square of the number of pixels.

    Raises:
        ValueError: a side of `size` is below 1, or the opset is not 17 or 18.
        CheckpointError: the checkpoint cannot be read or is not a RAFT.
        ModelFileError, OutputError, BackendError: as for `export_amcnet`; the difference is in pixels.
    """
    if min(size) < 1:
        raise ValueError(f"size: got {size[0]}x{size[1]}, expected sides of at least 1")
    network, checkpoint = _load_raft(weights, config or RAFTConfig())
    prepare = spec.raft(size)
    frame, next_frame = frame_pair(size)
    inputs = {"frame": normalized(frame, prepare), "next_frame": normalized(next_frame, prepare)}
    metadata = _metadata("raft", checkpoint, prepare) | {onnx_file.CONFIG: json.dumps(asdict(network.config))}
    wrapped = _Outputs(PaddedRAFT(network, size), lambda network, *frames: (network(*frames),))
    return _export(wrapped, inputs, ["flow"], folder / "raft.onnx", options, metadata)


def export_pipeline(
    amcnet_weights: Weights,
    flow_weights: Weights,
    folder: Path,
    options: ExportOptions | None = None,
    *,
    video_size: tuple[int, int] = (854, 480),
    config: AMCNetConfig | None = None,
    raft: RAFTConfig | None = None,
) -> Exported:
    """Export both networks and all preprocessing to `folder`/pipeline.onnx: two frames -> mask (1, H, W) in (0, 1).

        exported = export_pipeline(Path("amcnet.pth"), Path("pwcnet.pth"), Path("build"), video_size=(1280, 720))
        exported = export_pipeline(Path("amcnet.pth"), Path("raft-small.pth"), Path("build"), raft=RAFTConfig())

    Inputs are frame and next_frame, uint8 RGB (1, H, W, 3) at the size of the video. Resizing, optical flow, flow
    coloring, segmentation and upsampling are part of the graph.

    Args:
        amcnet_weights: checkpoint of AMC-Net, or a `Seed`.
        flow_weights: checkpoint of PWC-Net, or, if `raft` is given, of RAFT; or a `Seed`.
        folder: folder to write to; it is created if it does not exist.
        options: opset and storage of weights.
        video_size: (width, height) of the frames in pixels.
        config: architecture of AMC-Net for a `Seed`.
        raft: compute the flow by RAFT, at the size of the video, in place of PWC-Net; as `config` of `export_raft`.

    Raises:
        ValueError: `options.dynamic_batch` is set, or the opset is not 17 or 18.
        ModelFileError: the masks differ from PyTorch by more than 1e-2 (the flow image has 8 bits). No file is left.
        CheckpointError, OutputError, BackendError: as for `export_amcnet`.
    """
    if options is not None and options.dynamic_batch:
        raise ValueError("pipeline.onnx processes one frame pair: got dynamic_batch=True, expected False")
    amcnet, amcnet_checkpoint = _load_amcnet(amcnet_weights, config)
    flow, flow_checkpoint = _load_pwcnet(flow_weights) if raft is None else _load_raft(flow_weights, raft)
    pipeline = Pipeline(amcnet, flow, video_size).eval()
    inputs = {
        name: torch.from_numpy(frame)[None]
        for name, frame in zip(("frame", "next_frame"), frame_pair(video_size), strict=True)
    }
    checkpoint = f"{amcnet_checkpoint} and {flow_checkpoint}"
    metadata = _metadata("pipeline", checkpoint, pipeline_preprocessing(video_size))
    metadata[onnx_file.CONFIG] = amcnet.config.to_json()
    wrapped = _Outputs(pipeline, lambda pipeline, *frames: (pipeline(*frames),))
    return _export(wrapped, inputs, ["mask"], folder / "pipeline.onnx", options, metadata)


class _Outputs(nn.Module):
    """Wraps a network of two inputs; `run` calls it and returns the tuple of tensors to export."""

    def __init__(self, network: nn.Module, run: Callable[..., tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.network = network
        self.run = run

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
        return self.run(self.network, first, second)


def _all_outputs(network: AMCNet, image: Tensor, flow_image: Tensor) -> tuple[Tensor, ...]:
    details = network.details(image, flow_image)
    scores = (details.gate_scores,) if network.config.has_gates else ()  # otherwise constant
    return details.mask, *details.attentions, *scores


def _export(
    network: _Outputs,
    inputs: Mapping[str, Tensor],
    outputs: list[str],
    path: Path,
    options: ExportOptions | None,
    metadata: dict[str, str],
) -> Exported:
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


def _load_amcnet(weights: Weights, config: AMCNetConfig | None) -> tuple[AMCNet, str]:
    if isinstance(weights, Seed):
        return seed_weights(AMCNet(config), weights.number), weights.name
    network = load_amcnet(weights)
    return network, file_sha256(weights)


def _load_pwcnet(weights: Weights) -> tuple[PWCNet, str]:
    if isinstance(weights, Seed):
        return seed_weights(PWCNet(), weights.number), weights.name
    return load_pwcnet(weights), file_sha256(weights)


def _load_raft(weights: Weights, config: RAFTConfig) -> tuple[RAFT, str]:
    if isinstance(weights, Seed):
        return seed_weights(RAFT(config), weights.number), weights.name
    return load_raft(weights, config.iterations), file_sha256(weights)


def _metadata(model: str, checkpoint: str, prepare: spec.Preprocessing) -> dict[str, str]:
    return {
        onnx_file.MODEL: model,
        onnx_file.CHECKPOINT_SHA256: checkpoint,
        onnx_file.PRECISION: "fp32",
        onnx_file.PREPROCESSING: prepare.to_json(),
        onnx_file.TOOL_VERSION: __version__,
    }
