"""Flow of training samples by a network: that of inference, in all kinds of samples and in forked processes."""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import seeded
import torch

from amcnet.export import Exported
from amcnet.runtime.errors import CheckpointError, ModelFileError
from amcnet.runtime.files.bundled_network import DEFAULT_AMCNET
from amcnet.runtime.files.onnx_file import OnnxFile
from amcnet.runtime.flow.learned_flow import LearnedFlow
from amcnet.runtime.frame import Frame
from amcnet.training import LIGHT, train
from amcnet.training.data.batches import Source
from amcnet.training.data.flow import dis_flow, flow_function
from amcnet.training.data.procedural import procedural_sample

TINY = dataclasses.replace(LIGHT, batch=4, sizes=(32,), perturb_flow=0, drop_flow=0, drop_image=0, image_as_flow=0)


@pytest.fixture(scope="module")
def raft(exported: Callable[[str], Exported]) -> Path:
    return exported("raft").file.path


def test_the_flow_of_a_network_is_that_of_inference(raft: Path) -> None:
    first, second = seeded.image_pair("frames", (96, 64), (5, -3))
    flow, identity = flow_function(raft)
    file = OnnxFile.read(raft)
    frames = [Frame(pixels, index=i, pts=i, pts_seconds=0.0) for i, pixels in enumerate((first, second))]
    with LearnedFlow(file, (32, 32)) as network:
        expected = network.flow(*frames)
    np.testing.assert_allclose(flow(first, second, 32), expected, atol=1e-4)
    assert expected.shape == (64, 96, 2)
    assert identity == file.sha256()
    assert flow_function("dis") == (dis_flow, "dis")


def test_a_file_without_flow_is_refused() -> None:
    with pytest.raises(ModelFileError, match="amcnet"):
        flow_function(DEFAULT_AMCNET)


def test_synthetic_samples_take_the_flow_of_their_source() -> None:
    def flow(first: np.ndarray, second: np.ndarray, grid_px: int) -> np.ndarray:
        return np.full((8, 8, 2), (grid_px, 3), np.float32)

    assert (procedural_sample(np.random.default_rng(0), flow).flow == (256, 3)).all()
    (still, dis) = (Source(flow=f).batch(TINY, 0, 1) for f in (flow, dis_flow))
    assert torch.equal(still.mask, dis.mask)
    assert not torch.equal(still.flow_image, dis.flow_image)


def test_forked_processes_compute_the_flow_too(raft: Path) -> None:
    first, second = seeded.image_pair("frames", (96, 64), (5, -3))
    flow, _ = flow_function(raft)
    expected = flow(first, second, 32)
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    child = multiprocessing.get_context("fork").Process(target=lambda: theirs.send(flow(first, second, 32)))
    child.start()
    np.testing.assert_array_equal(ours.recv(), expected)
    child.join()


@pytest.mark.slow
def test_a_training_with_a_flow_network_keeps_it(
    raft: Path, tmp_path: Path, write_sequence: Callable[..., None]
) -> None:
    for name in ("a", "b"):
        write_sequence(tmp_path / "davis", name, 3)
    settings = {"davis": tmp_path / "davis", "iterations": 2, "save_minutes": 0}
    train(TINY, tmp_path / "out", flow=raft, **settings)  # type: ignore[arg-type]
    (cache,) = (tmp_path / "out").glob("flow*")
    assert cache.name == f"flow-{OnnxFile.read(raft).sha256()[:12]}"
    assert sorted(path.name for path in cache.iterdir()) == ["a.npy", "b.npy"]
    with pytest.raises(CheckpointError, match=r"flow: saved [0-9a-f]{64}, now dis"):
        train(TINY, tmp_path / "out", resume=True, **settings)  # type: ignore[arg-type]
