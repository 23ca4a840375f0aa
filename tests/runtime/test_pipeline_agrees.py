"""pipeline.onnx, where all is in one graph, gives the mask that the runtime makes step by step."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from amcnet import Segmenter
from amcnet.benchmarks.demo_clip import render_frame
from amcnet.export import Seed, export_amcnet, export_pipeline, export_pwcnet
from amcnet.models import AMCNetConfig

LIGHT = AMCNetConfig(backbone="mobilenet_v2")
SIZE = (150, 90)


@pytest.mark.slow
def test_pipeline_and_runtime_make_the_same_mask(tmp_path: Path) -> None:
    seed = Seed(number=1)
    amcnet = export_amcnet(seed, tmp_path, config=LIGHT).file.path
    pwcnet = export_pwcnet(seed, tmp_path, size=(192, 128)).file.path
    pipeline = export_pipeline(seed, seed, tmp_path, video_size=SIZE, config=LIGHT).file.path
    x, y = 250, 150  # where the body of the clip is
    pictures = [render_frame(index)[0][y : y + SIZE[1], x : x + SIZE[0]] for index in (0, 1)]

    (tmp_path / "frames").mkdir()
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(tmp_path / "frames" / f"{index}.png"), picture[..., ::-1])
    with Segmenter.load(amcnet, flow=pwcnet) as segmenter, closing(segmenter.video(tmp_path / "frames")) as masks:
        step_by_step = next(masks).probability

    session = onnxruntime.InferenceSession(pipeline, providers=["CPUExecutionProvider"])
    (at_once,) = session.run(None, {"frame": pictures[0][None], "next_frame": pictures[1][None]})
    assert step_by_step.std() > 1e-3, "a mask without structure would agree with anything"
    assert np.abs(at_once[0] - step_by_step).max() < 0.02 * np.ptp(step_by_step)
