"""`export-onnx`: export PyTorch checkpoints to ONNX files."""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.argument_types import positive
from ..runtime.command import cli_entry_point
from ..runtime.errors import CheckpointError
from ..runtime.extras import require

if TYPE_CHECKING:
    from .verified_export import Exported, ExportOptions
    from .weights import Weights

    _Models = argparse._SubParsersAction[argparse.ArgumentParser]

_EXAMPLES = """examples:
  export-onnx amcnet --checkpoint amc.pth -o build/
  export-onnx pwcnet --checkpoint pwc.pth --size 832x448 -o build/
  export-onnx raft --checkpoint raft-small.pth --size 448x256 --iterations 6 -o build/
  export-onnx pipeline --amcnet-checkpoint amc.pth --pwcnet-checkpoint pwc.pth --video-size 854x480 -o build/
  export-onnx amcnet --seed 1 --backbone resnet18 -o build/     untrained weights, for timing

Writes amcnet.onnx, pwcnet.onnx, raft.onnx or pipeline.onnx to DIR. Each file is verified against PyTorch before it is
written. An export with ResNet-101 takes about 30 s and 3 GB of memory.
options of each: export-onnx amcnet --help; also pwcnet, raft and pipeline
exit status: 0 success, 2 error, 130 interrupted by Ctrl-C
"""
_BACKBONES = (
    "resnet101",
    "resnet50",
    "resnet34",
    "resnet18",
    "mobilenet_v2",
    "efficientnet_lite0",
    "efficientnet_lite2",
)  # those of models/amcnet.py, which imports torch
_BACKBONE_HELP = "encoders of an untrained network (--seed); a checkpoint defines its own (default: resnet101)"
_SIZE_HELP = "input size in pixels, rounded up to multiples of {} (default: {})"
_ITERATIONS_HELP = "corrections of RAFT's flow, which take most of its time (default: 12, as trained)"
_BATCH_HELP = "accept any batch size, not only 1"


@cli_entry_point
def main() -> int:
    arguments = _parser().parse_args()
    require("export-onnx", "torch", "onnx", "onnxscript", "onnxruntime")
    start = time.perf_counter()
    print(f"exporting {arguments.model}.onnx ... (about 30 s and 3 GB for ResNet-101)", file=sys.stderr)
    from .verified_export import ExportOptions  # imported after --help is handled: torch takes 2 s

    options = ExportOptions(
        opset=arguments.opset, dynamic_batch=arguments.dynamic_batch, fp16_weights=arguments.fp16_weights
    )
    exported: Exported = arguments.export(arguments, options)
    path, size_mb = exported.file.path, exported.file.path.stat().st_size / 1e6
    print(f"max |ONNX Runtime - PyTorch| {exported.max_difference:.1e}")
    print(f"{path}: {size_mb:.0f} MB, {time.perf_counter() - start:.0f} s")
    return 0


def _export_amcnet(arguments: argparse.Namespace, options: ExportOptions) -> Exported:
    from ..models import AMCNetConfig
    from .exporter import export_amcnet

    weights = _weights(arguments.checkpoint, arguments)
    config = AMCNetConfig(backbone=arguments.backbone)
    return export_amcnet(
        weights,
        arguments.output,
        options,
        config=config,
        size=_rounded_up(arguments.size, 32),
        with_attention=arguments.with_attention,
    )


def _export_pwcnet(arguments: argparse.Namespace, options: ExportOptions) -> Exported:
    from .exporter import export_pwcnet

    weights = _weights(arguments.checkpoint, arguments)
    return export_pwcnet(weights, arguments.output, options, size=_rounded_up(arguments.size, 64))


def _export_raft(arguments: argparse.Namespace, options: ExportOptions) -> Exported:
    from ..models import RAFTConfig
    from .raft_exporter import export_raft

    weights = _weights(arguments.checkpoint, arguments)
    config = RAFTConfig(large=arguments.large, iterations=arguments.iterations)
    return export_raft(weights, arguments.output, options, config=config, size=arguments.size)


def _export_pipeline(arguments: argparse.Namespace, options: ExportOptions) -> Exported:
    from ..models import AMCNetConfig, RAFTConfig
    from .exporter import export_pipeline

    pwcnet, raft = arguments.pwcnet_checkpoint, arguments.raft_checkpoint
    if pwcnet is not None and raft is not None:
        raise CheckpointError("got --pwcnet-checkpoint and --raft-checkpoint, expected one of them: one source of flow")
    return export_pipeline(
        _weights(arguments.amcnet_checkpoint, arguments, "--amcnet-checkpoint"),
        _weights(pwcnet or raft, arguments, "--pwcnet-checkpoint or --raft-checkpoint"),
        arguments.output,
        options,
        video_size=arguments.video_size,
        config=AMCNetConfig(backbone=arguments.backbone),
        raft=None if raft is None else RAFTConfig(iterations=arguments.iterations),
    )


def _rounded_up(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """Round both sides of `size` up to `multiple`; print a note if that changes them."""
    width, height = (math.ceil(length / multiple) * multiple for length in size)
    if (width, height) != size:
        given = "x".join(map(str, size))
        print(f"note: --size {given} is rounded up to {width}x{height}, multiples of {multiple}", file=sys.stderr)
    return width, height


def _weights(checkpoint: Path | None, arguments: argparse.Namespace, flag: str = "--checkpoint") -> Weights:
    from .weights import Seed

    if (checkpoint is None) == (arguments.seed is None):
        got = "neither" if checkpoint is None else "both"
        raise CheckpointError(f"no weights to export: got {got}, expected {flag} FILE or --seed N (untrained weights)")
    return checkpoint or Seed(number=arguments.seed)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) > 0 and int(height) > 0):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a size WIDTHxHEIGHT such as 854x480")
    return int(width), int(height)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="export-onnx",
        description="Export PyTorch checkpoints of AMC-Net, PWC-Net and RAFT to ONNX files for any runtime.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    models = parser.add_subparsers(dest="model", required=True, metavar="amcnet|pwcnet|raft|pipeline")
    for add_model in (_add_amcnet, _add_pwcnet, _add_raft, _add_pipeline):
        _add_common(add_model(models))
    return parser


def _add_amcnet(models: _Models) -> argparse.ArgumentParser:
    amcnet = models.add_parser(
        "amcnet",
        description="Export AMC-Net to amcnet.onnx.",
        help="segmentation: a frame and the color image of its optical flow -> mask",
    )
    add = amcnet.add_argument
    add("--checkpoint", type=Path, metavar="FILE", help="weights of AMC-Net (.pth, .tar, .safetensors)")
    add("--size", type=_size, default=(384, 384), metavar="WxH", help=_SIZE_HELP.format(32, "384x384"))
    add(
        "--with-attention",
        action="store_true",
        help="add the attention maps and the co-attention scores as outputs: attention0 to attention4, gate_scores",
    )
    add("--backbone", default="resnet101", choices=_BACKBONES, help=_BACKBONE_HELP)
    add("--dynamic-batch", action="store_true", help=_BATCH_HELP)
    amcnet.set_defaults(export=_export_amcnet)
    return amcnet


def _add_pwcnet(models: _Models) -> argparse.ArgumentParser:
    pwcnet = models.add_parser(
        "pwcnet", description="Export PWC-Net to pwcnet.onnx.", help="optical flow between two frames"
    )
    add = pwcnet.add_argument
    add("--checkpoint", type=Path, metavar="FILE", help="weights of PWC-Net, as published by NVlabs or sniklaus")
    add("--size", type=_size, default=(896, 512), metavar="WxH", help=_SIZE_HELP.format(64, "896x512"))
    add("--dynamic-batch", action="store_true", help=_BATCH_HELP)
    pwcnet.set_defaults(export=_export_pwcnet)
    return pwcnet


def _add_raft(models: _Models) -> argparse.ArgumentParser:
    raft = models.add_parser(
        "raft", description="Export RAFT to raft.onnx.", help="optical flow between two frames, by iterations"
    )
    size_help = "input size in pixels (default: 448x256)"
    add = raft.add_argument
    add("--checkpoint", type=Path, metavar="FILE", help="weights of RAFT, as published by princeton-vl")
    add("--size", type=_size, default=(448, 256), metavar="WxH", help=size_help)
    add("--iterations", type=positive, default=12, metavar="N", help=_ITERATIONS_HELP)
    add("--large", action="store_true", help="the large network, for --seed; a checkpoint defines its own")
    add("--dynamic-batch", action="store_true", help=_BATCH_HELP)
    raft.set_defaults(export=_export_raft)
    return raft


def _add_pipeline(models: _Models) -> argparse.ArgumentParser:
    pipeline = models.add_parser(
        "pipeline",
        description="Export AMC-Net, PWC-Net or RAFT, and all preprocessing as one graph, pipeline.onnx.",
        help="both networks and all preprocessing: two video frames (uint8) -> mask",
    )
    size_help = "size of the video in pixels (default: 854x480)"
    add = pipeline.add_argument
    add("--amcnet-checkpoint", type=Path, metavar="FILE", help="weights of AMC-Net")
    add("--pwcnet-checkpoint", type=Path, metavar="FILE", help="weights of PWC-Net")
    add("--raft-checkpoint", type=Path, metavar="FILE", help="weights of RAFT, in place of PWC-Net")
    add("--iterations", type=positive, default=12, metavar="N", help=_ITERATIONS_HELP)
    add("--video-size", type=_size, default=(854, 480), metavar="WxH", help=size_help)
    add("--backbone", default="resnet101", choices=_BACKBONES, help=_BACKBONE_HELP)
    pipeline.set_defaults(export=_export_pipeline, dynamic_batch=False)
    return pipeline


def _add_common(model: argparse.ArgumentParser) -> None:
    add = model.add_argument
    add("--seed", type=int, metavar="N", help="untrained weights from this seed instead of a checkpoint")
    add("--fp16-weights", action="store_true", help="store weights in FP16, which halves the file; computes in FP32")
    add("--opset", type=int, default=17, choices=(17, 18), help="ONNX opset of the file (default: 17)")
    output_help = "folder to write to (default: the current one)"
    add("-o", "--output", type=Path, default=Path("."), metavar="DIR", help=output_help)
