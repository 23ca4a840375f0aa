"""The bundled networks: their card, and the accuracy of the default one on a clip with known masks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from amcnet import Segmenter
from amcnet.benchmarks.accuracy.evaluation import evaluate
from amcnet.benchmarks.demo_clip import render_frame, write_clip
from amcnet.runtime.files.bundled_network import MODELS, WEIGHTS, bundled_network
from amcnet.runtime.files.onnx_file import OnnxFile
from amcnet.runtime.infer import InferOptions, infer

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("model", MODELS)
def test_the_bundled_networks_are_trained(model: str) -> None:
    file = OnnxFile.read(bundled_network(model, "fp32", "cpu"), "amcnet")
    assert not file.untrained
    assert json.loads(file.metadata["amcnet.config"])["backbone"] == "mobilenet_v2"


@pytest.mark.parametrize("model", MODELS)
def test_the_model_card_describes_these_files(model: str) -> None:
    card = (WEIGHTS / "README.md").read_text()
    suffix = "" if model == "light" else f"-{model}"
    for precision, name in (("fp32", f"davis16{suffix}.json"), ("int8", f"davis16{suffix}-int8.json")):
        file = OnnxFile.read(bundled_network(model, precision, "cpu"))
        assert file.sha256() in card
        assert file.metadata["amcnet.checkpoint_sha256"] in card
        results = json.loads((ROOT / "benchmarks/results" / name).read_text())
        assert results["amcnet_sha256"] == file.sha256()
        row = f"| J&F, DAVIS-2016 val, 6 sequences | {100 * results['variants']['default']['average']['J&F']:.1f} "
        assert any(line.startswith(row) and name in line for line in card.splitlines())


@pytest.mark.parametrize("model", MODELS)
def test_the_bundled_networks_segment_the_demo_clip(model: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", 8)
    overlaps = []
    with Segmenter.load(model=model) as segmenter:
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
