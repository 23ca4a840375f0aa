"""Exported RAFT: metadata, contents, padding, and agreement with PyTorch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from exports import inputs_and_outputs

from amcnet.export import Exported, ExportOptions, Seed, export_raft
from amcnet.export.padded_raft import PaddedRAFT
from amcnet.models import RAFT, RAFTConfig, load_raft, seed_weights
from amcnet.runtime.preprocessing.spec import Preprocessing


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("onnx")


@pytest.fixture(scope="module")
def raft(exported: Callable[[str], Exported]) -> Exported:
    return exported("raft")


@pytest.fixture(scope="module")
def large_raft(folder: Path) -> Exported:
    torch.save(seed_weights(RAFT(RAFTConfig(large=True)), 1).state_dict(), folder / "raft-large.pth")
    options, config = ExportOptions(opset=18, dynamic_batch=True), RAFTConfig(iterations=2)
    return export_raft(folder / "raft-large.pth", folder, options, config=config, size=(64, 66))


def test_raft_has_the_documented_inputs_and_outputs(raft: Exported, large_raft: Exported) -> None:
    for file, batch, (width, height), opset in ((raft, 1, (101, 75), 17), (large_raft, "batch", (64, 66), 18)):
        model = onnx.load(file.file.path)
        onnx.checker.check_model(model, full_check=True)
        assert inputs_and_outputs(model) == {
            "frame": ("FLOAT", batch, 3, height, width),
            "next_frame": ("FLOAT", batch, 3, height, width),
            "flow": ("FLOAT", batch, 2, height, width),
        }
        assert {o.domain: o.version for o in model.opset_import} == {"": opset, "amcnet": 1}
        assert {f.name for f in model.functions} == {"AmcCorrelationVolumes", "AmcCorrelationLookup"}
        assert sum(n.op_type == "AmcCorrelationLookup" for n in model.graph.node) == 2, "one an iteration"
        assert "BatchNormalization" not in {n.op_type for n in model.graph.node}, "folded"
        assert file.max_difference <= 1e-3
        assert file.file.computes_flow
    assert json.loads(large_raft.file.metadata["amcnet.config"]) == {"large": True, "iterations": 2}
    assert raft.file.preprocessing == Preprocessing(
        size=(101, 75), mean=(0, 0, 0), std=(1, 1, 1), channel_order="RGB", resize="bilinear"
    )


def test_raft_pads_by_repeating_the_border(large_raft: Exported, folder: Path) -> None:
    """66 rows become 72, three more on both sides. With two items, the free batch is checked as well."""
    frames = np.random.default_rng(0).random((2, 2, 3, 66, 64), dtype=np.float32)
    session = onnxruntime.InferenceSession(large_raft.file.path, providers=["CPUExecutionProvider"])
    result = session.run(None, {"frame": frames[0], "next_frame": frames[1]})[0]
    padded = np.pad(frames, ((0, 0), (0, 0), (0, 0), (3, 3), (0, 0)), mode="edge")
    with torch.inference_mode():
        flow = load_raft(folder / "raft-large.pth", 2)(*map(torch.from_numpy, padded)).numpy()
    np.testing.assert_allclose(result, flow[:, :, 3:-3], atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (5, 65), (200, 63)])
def test_frames_of_any_size_are_padded(size: tuple[int, int]) -> None:
    network = PaddedRAFT(seed_weights(RAFT(RAFTConfig(iterations=1)), 1), size)
    frames = torch.rand((2, 1, 3, size[1], size[0]), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        flow = network(*frames)
    assert flow.shape == (1, 2, size[1], size[0])
    assert torch.isfinite(flow).all()


def test_raft_requires_a_size(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got 0x64, expected sides of at least 1"):
        export_raft(Seed(number=1), tmp_path, size=(0, 64))
