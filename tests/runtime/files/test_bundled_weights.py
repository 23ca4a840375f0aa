"""The bundled network: its size, its card, and its accuracy on a clip with known masks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from amcnet import Segmenter
from amcnet.benchmarks.accuracy.evaluation import evaluate
from amcnet.benchmarks.demo_clip import render_frame, write_clip
from amcnet.runtime.files.onnx_file import OnnxFile
from amcnet.runtime.infer import InferOptions, infer
from amcnet.runtime.segmenter import DEFAULT_AMCNET

ROOT = Path(__file__).resolve().parents[3]


def test_the_bundled_network_is_small_and_trained() -> None:
    assert DEFAULT_AMCNET.stat().st_size < 20e6
    file = OnnxFile.read(DEFAULT_AMCNET, "amcnet")
    assert not file.untrained
    assert json.loads(file.metadata["amcnet.config"])["backbone"] == "mobilenet_v2"


def test_the_model_card_describes_this_file() -> None:
    card = (DEFAULT_AMCNET.parent / "README.md").read_text()
    file = OnnxFile.read(DEFAULT_AMCNET)
    assert file.sha256() in card
    assert file.metadata["amcnet.checkpoint_sha256"] in card
    results = json.loads((ROOT / "benchmarks/results/davis16.json").read_text())
    assert results["amcnet_sha256"] == file.sha256()
    assert f"{100 * results['variants']['default']['average']['J&F']:.1f}" in card


def test_the_bundled_network_segments_the_demo_clip(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", 8)
    overlaps = []
    with Segmenter.load() as segmenter:
        for m in segmenter.video(tmp_path / "clip.mp4"):
            _, truth = render_frame(m.index)
            overlaps.append((m.mask & truth).sum() / (m.mask | truth).sum())
    assert len(overlaps) == 8
    assert np.mean(overlaps) > 0.8


def test_the_bundled_network_reaches_its_j_on_davis(shared: Callable[[str], Path], tmp_path: Path) -> None:
    davis = shared("data/davis16/val")
    source = davis / "JPEGImages/480p/blackswan"
    infer(InferOptions(source=source, output=tmp_path / "blackswan", frames=12))
    annotations = tmp_path / "annotations" / "blackswan"
    annotations.mkdir(parents=True)
    for path in sorted((davis / "Annotations/480p/blackswan").iterdir())[:12]:
        (annotations / path.name).write_bytes(path.read_bytes())
    assert evaluate(tmp_path, tmp_path / "annotations").region.mean > 0.8
