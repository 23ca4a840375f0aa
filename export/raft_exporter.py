"""Export of RAFT to ONNX, verified against PyTorch before it is written."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from ..models import RAFTConfig
from ..runtime.files import onnx_file
from ..runtime.preprocessing import spec
from .padded_raft import PaddedRAFT
from .verification import frame_pair, normalized
from .verified_export import Exported, ExportOptions, TwoInputs, export_verified, metadata_of
from .weights import Weights, raft_from


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
    network, checkpoint = raft_from(weights, config or RAFTConfig())
    prepare = spec.raft(size)
    frame, next_frame = frame_pair(size)
    inputs = {"frame": normalized(frame, prepare), "next_frame": normalized(next_frame, prepare)}
    metadata = metadata_of("raft", checkpoint, prepare) | {onnx_file.CONFIG: json.dumps(asdict(network.config))}
    wrapped = TwoInputs(PaddedRAFT(network, size), lambda network, *frames: (network(*frames),))
    return export_verified(wrapped, inputs, ["flow"], folder / "raft.onnx", options, metadata)
