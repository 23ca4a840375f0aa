"""Verify an exported file: its outputs in ONNX Runtime against PyTorch's on a generated frame pair."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..runtime.backends.onnxruntime_session import open_session
from ..runtime.errors import ModelFileError
from ..runtime.preprocessing.spec import Preprocessing

MAX_DIFFERENCE = 1e-3  # probability for masks, pixels for flow
# For weights stored in FP16 (11 significant bits), and for pipeline.onnx: its flow image has 8 bits, so that a flow
# difference of 1e-5 px occasionally changes a gray level.
MAX_DIFFERENCE_ROUNDED = 1e-2


def frame_pair(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Generate two images (H, W, 3) uint8 of `size` (W, H), with a texture that moves by (5, -3) pixels."""
    width, height = size
    noise = np.random.default_rng(0).standard_normal((height // 8 + 3, width // 8 + 3, 3))
    texture = np.kron(noise, np.ones((8, 8, 1)))
    levels = np.clip(128 + 48 * texture, 0, 255).astype(np.uint8)
    return levels[8 : 8 + height, 8 : 8 + width].copy(), levels[11 : 11 + height, 3 : 3 + width].copy()


def normalized(image: np.ndarray, prepare: Preprocessing) -> Tensor:
    """Image (H, W, 3) uint8 RGB -> network input (1, 3, H, W), in the channel order and normalization of `prepare`."""
    ordered = image if prepare.channel_order == "RGB" else image[..., ::-1]
    scaled = (ordered / 255.0 - prepare.mean) / prepare.std
    return torch.from_numpy(scaled.transpose(2, 0, 1)[None].astype(np.float32))


def verify(path: Path, inputs: Mapping[str, Tensor], expected: list[np.ndarray], allowed: float, name: str) -> float:
    """Run the file at `path` on `inputs` and return the largest absolute difference to the `expected` outputs.

    name: name of the file in messages. Raises ModelFileError if the difference exceeds `allowed` or is NaN.
    """
    session = open_session(path).session
    results = session.run(None, {key: value.numpy() for key, value in inputs.items()})
    difference = max(float(np.abs(a - b).max()) for a, b in zip(results, expected, strict=True))
    if not difference <= allowed:  # true for NaN
        raise ModelFileError(
            f"{name} does not match PyTorch: got max |difference| {difference:.2e}, expected at most {allowed:.0e}; no "
            "file was written. Fix: try --opset 18, and report this with the versions of torch, onnxscript and "
            "onnxruntime"
        )
    return difference
