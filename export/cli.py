"""`export-onnx`: checkpoints to ONNX files that any runtime can run."""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.command import cli_entry_point
from ..runtime.errors import CheckpointError
from ..runtime.extras import require

if TYPE_CHECKING:
    from .exporter import Exported, ExportOptions, Weights

_EXAMPLES = """examples:
  export-onnx amcnet --checkpoint amc.pth -o build/
  export-onnx pwcnet --checkpoint pwc.pth --size 832x448 -o build/
  export-onnx pipeline --amcnet-checkpoint amc.pth --pwcnet-checkpoint pwc.pth --video-size 854x480 -o build/
  export-onnx amcnet --seed 1 --backbone resnet18 -o build/     untrained: for timing and for trying things out

Writes amcnet.onnx, pwcnet.onnx or pipeline.onnx into DIR. Each file is run in ONNX Runtime and compared with PyTorch
before it is written; about 30 s and 3 GB of memory for ResNet-101.
options of each: export-onnx amcnet --help, export-onnx pwcnet --help, export-onnx pipeline --help
exit status: 0 done, 2 an error with a message that says what to do, 130 Ctrl-C
"""


@cli_entry_point
def main() -> int:
    arguments = _parser().parse_args()
    require("export-onnx", "torch", "onnx", "onnxscript", "onnxruntime")
    start = time.perf_counter()
    print(f"exporting {arguments.network}.onnx ... (about 30 s and 3 GB for ResNet-101)", file=sys.stderr)
    from .exporter import ExportOptions  # here, because importing torch takes 2 s that --help need not wait for

    exported: Exported = arguments.export(
        arguments,
        ExportOptions(
            opset=arguments.opset, dynamic_batch=arguments.dynamic_batch, half_weights=arguments.half_weights
        ),
    )
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


def _export_pipeline(arguments: argparse.Namespace, options: ExportOptions) -> Exported:
    from ..models import AMCNetConfig
    from .exporter import export_pipeline

    return export_pipeline(
        _weights(arguments.amcnet_checkpoint, arguments, "--amcnet-checkpoint"),
        _weights(arguments.pwcnet_checkpoint, arguments, "--pwcnet-checkpoint"),
        arguments.output,
        options,
        video_size=arguments.video_size,
        config=AMCNetConfig(backbone=arguments.backbone),
    )


def _rounded_up(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """`size` with both sides multiples, and a notice if it was not."""
    width, height = (math.ceil(length / multiple) * multiple for length in size)
    if (width, height) != size:
        asked = "x".join(map(str, size))
        print(f"note: {asked} is rounded up to {width}x{height}, multiples of {multiple}", file=sys.stderr)
    return width, height


def _weights(checkpoint: Path | None, arguments: argparse.Namespace, flag: str = "--checkpoint") -> Weights:
    from .exporter import Seed

    if (checkpoint is None) == (arguments.seed is None):
        got = "neither" if checkpoint is None else "both"
        raise CheckpointError(f"expected {flag} FILE, or --seed N for untrained weights; got {got}")
    return checkpoint or Seed(number=arguments.seed)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) > 0 and int(height) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; expected WIDTHxHEIGHT such as 854x480")
    return int(width), int(height)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="export-onnx",
        description="Export PyTorch checkpoints of AMC-Net and PWC-Net to ONNX files for any runtime.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    networks = parser.add_subparsers(dest="network", required=True, metavar="amcnet|pwcnet|pipeline")

    amcnet = networks.add_parser(
        "amcnet",
        description="Export AMC-Net to amcnet.onnx.",
        help="segmentation: a frame and the image of its optical flow -> mask",
    )
    amcnet.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights of AMC-Net (.pth, .tar, .safetensors)")
    amcnet.add_argument(
        "--size",
        type=_size,
        default=(384, 384),
        metavar="WxH",
        help="input size in pixels, rounded up to multiples of 32 (default: 384x384)",
    )
    amcnet.add_argument(
        "--with-attention", action="store_true", help="add the attention maps as outputs attention0 to attention4"
    )
    amcnet.set_defaults(export=_export_amcnet)

    pwcnet = networks.add_parser(
        "pwcnet", description="Export PWC-Net to pwcnet.onnx.", help="optical flow of two frames"
    )
    pwcnet.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="weights of PWC-Net, as published by NVlabs or sniklaus"
    )
    pwcnet.add_argument(
        "--size",
        type=_size,
        default=(896, 512),
        metavar="WxH",
        help="input size in pixels, rounded up to multiples of 64 (default: 896x512)",
    )
    pwcnet.set_defaults(export=_export_pwcnet)

    pipeline = networks.add_parser(
        "pipeline",
        description="Export AMC-Net, PWC-Net and all preprocessing as one graph, pipeline.onnx.",
        help="both networks and all preprocessing: two video frames (uint8) -> mask",
    )
    pipeline.add_argument("--amcnet-checkpoint", type=Path, metavar="FILE", help="weights of AMC-Net")
    pipeline.add_argument("--pwcnet-checkpoint", type=Path, metavar="FILE", help="weights of PWC-Net")
    pipeline.add_argument(
        "--video-size",
        type=_size,
        default=(854, 480),
        metavar="WxH",
        help="size of the video in pixels (default: 854x480)",
    )
    pipeline.set_defaults(export=_export_pipeline, dynamic_batch=False)

    for network in (amcnet, pipeline):
        network.add_argument(
            "--backbone",
            default="resnet101",
            choices=("resnet101", "resnet50", "resnet34", "resnet18", "mobilenet_v2"),
            help="encoders, with --seed only: a checkpoint defines its own (default: resnet101)",
        )
    for network in (amcnet, pwcnet):
        network.add_argument("--dynamic-batch", action="store_true", help="accept any batch size, not only 1")
    for network in (amcnet, pwcnet, pipeline):
        network.add_argument(
            "--seed", type=int, metavar="N", help="untrained weights from this seed instead of a checkpoint"
        )
        network.add_argument(
            "--half-weights", action="store_true", help="store weights in FP16: half the file size, computes in FP32"
        )
        network.add_argument(
            "--opset", type=int, default=17, choices=(17, 18), help="ONNX opset of the file (default: 17)"
        )
        network.add_argument(
            "-o",
            "--output",
            type=Path,
            default=Path("."),
            metavar="DIR",
            help="folder to write to (default: the current one)",
        )
    return parser
