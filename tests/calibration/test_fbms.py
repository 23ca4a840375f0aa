"""The variant for FBMS in INT8: the mean of its two masks stays within the tolerance of every INT8 file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from amcnet.benchmarks.demo_clip import write_clip
from amcnet.calibration import calibrate
from amcnet.export import export_amcnet
from amcnet.models import AMCNet, AMCNetConfig, seed_weights
from amcnet.runtime.files.bundled_network import DEFAULT_AMCNET
from amcnet.training.exported_weights import read_exported


@pytest.mark.slow
def test_the_mean_of_two_masks_in_int8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the bundled weights, and a drawn second decoder, since no trained one exists."""
    network = seed_weights(AMCNet(AMCNetConfig(backbone="mobilenet_v2", appearance_decoder=True)), 1)
    missing, unexpected = network.load_state_dict(read_exported(DEFAULT_AMCNET).state_dict(), strict=False)
    assert missing
    assert all(key.startswith("appearance_decoder.") for key in missing)
    assert not unexpected
    torch.save(network.state_dict(), tmp_path / "fbms.pth")
    fp32 = export_amcnet(tmp_path / "fbms.pth", tmp_path, size=(256, 256)).file.path
    write_clip(tmp_path / "clip.mp4", 24)

    done = calibrate(fp32, tmp_path / "fbms.int8.onnx", [tmp_path / "clip.mp4"], target="cpu", frames=8)
    with capsys.disabled():
        print(f"\nFBMS variant in INT8, mean IoU with FP32: {done.accuracy['mask']['mean_iou']:.4f}")
    assert done.accuracy["mask"]["mean_iou"] >= 0.98 == done.accuracy["min_iou"]
    second = [name for name in done.quantized.int8_nodes if name.startswith("appearance_decoder.")]
    assert len(second) >= 5, "its convolutions are in INT8"
    last = [name for names in done.quantized.float_nodes.values() for name in names if "appearance_decoder" in name]
    assert len([name for name in last if "Conv" in name]) == 5, "its score maps, of one channel, stay FP32"
