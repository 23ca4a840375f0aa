"""pipeline.onnx, a single graph, computes the mask that the runtime computes in steps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from exports import LIGHT, PIPELINE_SIZE, SEED, SMALL

from amcnet import Segmenter
from amcnet.benchmarks.demo_clip import render_frame
from amcnet.export import Exported, export_amcnet, export_pipeline, export_pwcnet, export_raft
from amcnet.models import RAFTConfig


@pytest.mark.slow
def test_pipeline_and_runtime_compute_the_same_mask(exported: Callable[[str], Exported], tmp_path: Path) -> None:
    amcnet, pwcnet, pipeline = (exported(name).file.path for name in ("amcnet", "pwcnet", "pipeline"))
    _same_mask(amcnet, pwcnet, pipeline, PIPELINE_SIZE, tmp_path)


@pytest.mark.slow
def test_pipeline_and_runtime_agree_with_the_light_network(tmp_path: Path) -> None:
    size = (150, 90)
    amcnet = export_amcnet(SEED, tmp_path, config=LIGHT).file.path
    pwcnet = export_pwcnet(SEED, tmp_path, size=(192, 128)).file.path
    pipeline = export_pipeline(SEED, SEED, tmp_path, video_size=size, config=LIGHT).file.path
    _same_mask(amcnet, pwcnet, pipeline, size, tmp_path)


@pytest.mark.slow
def test_pipeline_and_runtime_agree_with_raft(tmp_path: Path) -> None:
    size, config = (150, 90), RAFTConfig(iterations=2)
    amcnet = export_amcnet(SEED, tmp_path, config=SMALL).file.path
    raft = export_raft(SEED, tmp_path, config=config, size=size).file.path
    pipeline = export_pipeline(SEED, SEED, tmp_path, video_size=size, config=SMALL, raft=config).file.path
    _same_mask(amcnet, raft, pipeline, size, tmp_path)


def _same_mask(amcnet: Path, flow: Path, pipeline: Path, size: tuple[int, int], tmp_path: Path) -> None:
    x, y = 250, 150  # where the body of the clip is
    pictures = [render_frame(index)[0][y : y + size[1], x : x + size[0]] for index in (0, 1)]

    (tmp_path / "frames").mkdir()
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(tmp_path / "frames" / f"{index}.png"), picture[..., ::-1])
    with (
        Segmenter.load(amcnet, flow=flow, temporal=False) as segmenter,
        closing(segmenter.video(tmp_path / "frames")) as masks,
    ):
        step_by_step = next(masks).probability

    session = onnxruntime.InferenceSession(pipeline, providers=["CPUExecutionProvider"])
    (at_once,) = session.run(None, {"frame": pictures[0][None], "next_frame": pictures[1][None]})
    assert step_by_step.std() > 1e-3, "a mask without structure would agree with anything"
    assert np.abs(at_once[0] - step_by_step).max() < 0.02 * np.ptp(step_by_step)
