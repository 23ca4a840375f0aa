"""Export a checkpoint to ONNX, quantize it to INT8 for CPUs, run both and compare the masks.

python examples/export_quantize_run.py VIDEO FOLDER [CHECKPOINT]

Without a checkpoint, a ResNet-18 AMC-Net with untrained weights is used. Its masks are meaningless; the steps are the
same. Needs `pip install '.[cpu,export]'`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from amcnet import Segmenter
from amcnet.calibration import calibrate
from amcnet.export import Seed, export_amcnet
from amcnet.models import AMCNetConfig


def export_quantize_run(video: Path, folder: Path, checkpoint: Path | None = None) -> float:
    """Write amcnet.onnx and amcnet.int8.onnx to `folder`; return the mean IoU of their masks over `video`."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = checkpoint or Seed(number=1)
    exported = export_amcnet(weights, folder, config=AMCNetConfig(backbone="resnet18"))
    fp32 = exported.file.path
    print(f"{fp32}: max |ONNX Runtime - PyTorch| = {exported.max_difference:.1e}")

    int8 = folder / "amcnet.int8.onnx"
    min_iou = None if checkpoint else 0.0  # the default, or any for untrained weights
    calibration = calibrate(fp32, int8, [video], target="cpu", frames=20, min_iou=min_iou)
    print(f"{int8}: calibrated with {calibration.table.frames} frames")

    overlaps = []
    with Segmenter.load(fp32) as reference, Segmenter.load(int8) as quantized:
        for a, b in zip(reference.video(video), quantized.video(video), strict=True):
            union = np.count_nonzero(a.mask | b.mask)
            overlaps.append(np.count_nonzero(a.mask & b.mask) / union if union else 1.0)
    print(f"mean IoU of the INT8 and FP32 masks: {np.mean(overlaps):.3f} over {len(overlaps)} frames")
    return float(np.mean(overlaps))


if __name__ == "__main__":
    export_quantize_run(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
