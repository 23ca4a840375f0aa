"""Export of AMC-Net, PWC-Net and the pipeline to ONNX, each verified against PyTorch before it is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..models import AMCNet, AMCNetConfig, RAFTConfig
from ..runtime.files import onnx_file
from ..runtime.preprocessing import spec
from .pipeline_module import Pipeline
from .pipeline_module import preprocessing as pipeline_preprocessing
from .verification import frame_pair, normalized
from .verified_export import Exported, ExportOptions, TwoInputs, export_verified, metadata_of
from .weights import Weights, amcnet_from, pwcnet_from, raft_from


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
    network, checkpoint = amcnet_from(weights, config)
    prepare = replace(spec.AMCNET, size=size)
    frame, next_frame = frame_pair(prepare.size)
    inputs = {"image": normalized(frame, prepare), "flow_image": normalized(next_frame, prepare)}
    outputs = ["mask"]
    if with_attention:
        maps = 0 if network.config.concatenation else network.config.corrections
        outputs += [f"attention{5 - maps + i}" for i in range(maps)]
        if network.config.has_gates:
            outputs.append("gate_scores")
    metadata = metadata_of("amcnet", checkpoint, prepare) | {onnx_file.CONFIG: network.config.to_json()}
    wrapped = TwoInputs(network, _all_outputs if with_attention else lambda network, *images: (network(*images).mask,))
    return export_verified(wrapped, inputs, outputs, folder / "amcnet.onnx", options, metadata)


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
    network, checkpoint = pwcnet_from(weights)
    prepare = spec.pwcnet(size)
    frame, next_frame = frame_pair(size)
    inputs = {"frame": normalized(frame, prepare), "next_frame": normalized(next_frame, prepare)}
    metadata = metadata_of("pwcnet", checkpoint, prepare)
    wrapped = TwoInputs(network, lambda network, *frames: (network(*frames),))
    return export_verified(wrapped, inputs, ["flow"], folder / "pwcnet.onnx", options, metadata)


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
    amcnet, amcnet_checkpoint = amcnet_from(amcnet_weights, config)
    flow, flow_checkpoint = pwcnet_from(flow_weights) if raft is None else raft_from(flow_weights, raft)
    pipeline = Pipeline(amcnet, flow, video_size).eval()
    inputs = {
        name: torch.from_numpy(frame)[None]
        for name, frame in zip(("frame", "next_frame"), frame_pair(video_size), strict=True)
    }
    checkpoint = f"{amcnet_checkpoint} and {flow_checkpoint}"
    metadata = metadata_of("pipeline", checkpoint, pipeline_preprocessing(video_size))
    metadata[onnx_file.CONFIG] = amcnet.config.to_json()
    wrapped = TwoInputs(pipeline, lambda pipeline, *frames: (pipeline(*frames),))
    return export_verified(wrapped, inputs, ["mask"], folder / "pipeline.onnx", options, metadata)


def _all_outputs(network: AMCNet, image: Tensor, flow_image: Tensor) -> tuple[Tensor, ...]:
    details = network.details(image, flow_image)
    scores = (details.gate_scores,) if network.config.has_gates else ()  # otherwise constant
    return details.mask, *details.attentions, *scores
