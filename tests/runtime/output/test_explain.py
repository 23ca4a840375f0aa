"""`amc-infer --explain`: scores, attention maps and images of each frame, from ONNX Runtime and from OpenVINO."""

from __future__ import annotations

import csv
import io
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

from amcnet.export import Exported
from amcnet.models import AMCNet, AMCNetConfig, seed_weights
from amcnet.runtime import cli, mask_networks, segmenter_plan
from amcnet.runtime.backends import open_backend
from amcnet.runtime.errors import InputError, ModelFileError
from amcnet.runtime.explanation import EXPLANATION_OUTPUTS, Explanation
from amcnet.runtime.files import onnx_file
from amcnet.runtime.files.bundled_network import DEFAULT_AMCNET, DEFAULT_INT8
from amcnet.runtime.files.onnx_file import OnnxFile
from amcnet.runtime.frame import Frame, MaskFrame, SourceInfo
from amcnet.runtime.infer import InferOptions, infer
from amcnet.runtime.output.explanation_image import FLOW_RGB, IMAGE_RGB, explanation_image
from amcnet.runtime.output.explanation_plot import scores_lines, scores_plot
from amcnet.runtime.output.kinds import EXPLANATIONS
from amcnet.runtime.preprocessing.resize import network_input
from amcnet.runtime.segmenter import Segmenter
from amcnet.runtime.segmenter_plan import SegmenterPlan

FRAMES = 5
INPUTS = {name: np.random.default_rng(0).random((1, 3, 384, 384), np.float32) for name in ("image", "flow_image")}


@pytest.fixture(scope="module")
def clip(make_clip: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=FRAMES, size=(100, 60))


@pytest.fixture(scope="module")
def explaining_onnx(networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = networks.make_amcnet(tmp_path_factory.mktemp("networks") / "explaining.onnx", explains=True)
    return path


def _scene(scores: np.ndarray) -> MaskFrame:
    pixels = np.full((90, 160, 3), 99, np.uint8)
    mask = np.zeros((90, 160), np.bool_)
    mask[20:60, 40:90] = True
    maps = tuple(np.full((128 >> level, 128 >> level), level % 2, np.float32) for level in range(5))
    explanation = Explanation(np.full((256, 256, 3), 255, np.uint8), maps, scores.astype(np.float32))
    return MaskFrame(Frame(pixels, 3, 12, 0.5), mask, mask.astype(np.float32), explanation)


def _files(output: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in output.rglob("*")
        if path.is_file() and path.name != "run.json"
    }


def test_the_command_writes_images_scores_and_a_plot(
    clip: Path, explaining_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    command = ["amc-infer", str(clip), "-o", str(output), "--amcnet", str(explaining_onnx), "--write", "masks,explain"]
    monkeypatch.setattr(sys, "argv", [*command, "--explain"])
    assert cli.main() == 0
    names = {f"{index:05d}.png" for index in range(FRAMES)}
    assert {path.name for path in output.iterdir()} == {"masks", "explain", "explain.csv", "explain.svg", "run.json"}
    assert {path.name for path in (output / "explain").iterdir()} == names
    assert np.shape(cv2.imread(str(output / "explain" / "00000.png"))) == (3 * 192, 3 * 320, 3)
    rows = list(csv.DictReader((output / "explain.csv").open()))
    assert [(int(row["frame"]), int(row["level"])) for row in rows] == [(f, k) for f in range(FRAMES) for k in range(5)]
    image, flow = (np.array([float(row[f"{name}_score"]) for row in rows]) for name in ("image", "flow"))
    np.testing.assert_allclose(flow, image**2, atol=2e-6)  # the formula of the tiny network
    # Without the temporal filter, its image score is the mean of the probabilities on the network's grid.
    with Segmenter.load(explaining_onnx, temporal=False, explain=True) as segmenter:
        for m in segmenter.video(clip):
            assert m.explanation is not None
            assert [each.shape for each in m.explanation.attentions] == [(384 >> k, 384 >> k) for k in range(1, 6)]
            assert m.explanation.attentions[0].mean() == pytest.approx(image[5 * m.index], abs=1e-5)
            assert m.probability.mean() == pytest.approx(image[5 * m.index], abs=1e-2)
            assert m.explanation.flow_image.shape == (384, 384, 3)


def test_the_masks_do_not_depend_on_explain(clip: Path, explaining_onnx: Path, tmp_path: Path) -> None:
    options = InferOptions(source=clip, output=tmp_path / "plain", amcnet=explaining_onnx, write=("probabilities",))
    infer(options)
    infer(replace(options, output=tmp_path / "explained", write=("probabilities", "explain-scores")))
    explained = _files(tmp_path / "explained")
    assert explained.pop("explain.csv")
    assert explained == _files(tmp_path / "plain")


def test_an_exported_network_is_explained_as_in_pytorch(clip: Path, exported: Callable[[str], Exported]) -> None:
    file = exported("light-fp16-weights").file
    config = AMCNetConfig.from_json(file.metadata[onnx_file.CONFIG])
    network = seed_weights(AMCNet(config), 1).eval()
    with Segmenter.load(file.path, explain=True) as segmenter:
        (m,) = segmenter.video(clip, start=2, frames=1)
    assert m.explanation is not None
    inputs = (network_input(each, file.preprocessing) for each in (m.frame.pixels, m.explanation.flow_image))
    with torch.inference_mode():
        details = network.details(*map(torch.from_numpy, inputs))
    np.testing.assert_allclose(m.explanation.scores, details.gate_scores[0].numpy(), atol=5e-3)
    for found, expected in zip(m.explanation.attentions, details.attentions, strict=True):
        np.testing.assert_allclose(found, expected[0, 0].numpy(), atol=2e-2)


@pytest.mark.parametrize("stop", [1, 4])
def test_a_resumed_run_equals_an_uninterrupted_one(
    clip: Path, explaining_onnx: Path, tmp_path: Path, stop: int
) -> None:
    options = InferOptions(
        source=clip, output=tmp_path / "whole", amcnet=explaining_onnx, write=("masks", *EXPLANATIONS)
    )
    infer(options)

    def progress(_: SourceInfo, done: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    stopped = replace(options, output=tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        infer(stopped, progress)
    assert len((tmp_path / "stopped" / "explain.csv").read_text().splitlines()) == 1 + 5 * stop
    report = infer(replace(stopped, resume=True))
    assert _files(tmp_path / "stopped") == _files(tmp_path / "whole")
    assert report["computed_frames"] == FRAMES
    assert "complete already" in infer(replace(stopped, resume=True))["notes"][-1]


@pytest.mark.parametrize("library", ["onnxruntime", "openvino"])
def test_outputs_are_computed_on_request_only(
    explaining_onnx: Path, library: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if library == "openvino":
        pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(open_backend, "_takes_openvino", lambda *_: library == "openvino")
    file = OnnxFile.read(explaining_onnx)
    assert file.outputs == ("mask", *EXPLANATION_OUTPUTS)
    found = []
    for _ in range(2):  # the second time OpenVINO reads compiled networks, one with all outputs and one with the mask
        with open_backend.open_backend(file, 1, extra_outputs=EXPLANATION_OUTPUTS) as network:
            found.append(network.run(INPUTS))
        with open_backend.open_backend(file, 1) as network:
            found.append(network.run(INPUTS))
    assert [list(each) for each in found] == [["mask", *EXPLANATION_OUTPUTS], ["mask"]] * 2
    mean = found[0]["mask"].mean()
    np.testing.assert_allclose(found[0]["gate_scores"][0], [[mean, mean**2]] * 5, atol=1e-5)
    np.testing.assert_allclose(
        found[0]["attention4"][0, 0], found[0]["mask"].reshape(12, 32, 12, 32).mean((1, 3)), atol=1e-5
    )
    for each in found[1:]:
        for name, value in each.items():
            np.testing.assert_array_equal(value, found[0][name])


def test_a_plain_run_computes_the_mask_alone(
    clip: Path, explaining_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    opened = open_backend.open_backend

    def spy(*arguments: object, extra_outputs: tuple[str, ...], **options: object) -> object:
        asked.append(extra_outputs)
        return opened(*arguments, extra_outputs=extra_outputs, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(mask_networks, "open_backend", spy)
    for explain in (False, True):
        with Segmenter.load(explaining_onnx, explain=explain) as segmenter:
            assert [m.explanation is not None for m in segmenter.video(clip, frames=2)] == [explain] * 2
    assert asked == [(), EXPLANATION_OUTPUTS]


def test_auto_precision_with_explain_is_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmenter_plan, "require_explainable", lambda file: None)
    monkeypatch.setattr(
        segmenter_plan, "_faster", lambda model, precision, *_: "int8" if precision == "auto" else precision
    )
    for precision, explain, path in (
        ("auto", True, DEFAULT_AMCNET),
        ("auto", False, DEFAULT_INT8),
        ("int8", True, DEFAULT_INT8),
    ):
        assert SegmenterPlan.make(precision=precision, explain=explain).file.path == path


def test_an_engine_is_explained_if_its_card_lists_the_outputs(make_engine: Callable[..., Path], tmp_path: Path) -> None:
    listed = [{"name": name, "dtype": "float", "shape": [1]} for name in ("mask", *EXPLANATION_OUTPUTS)]
    engine = make_engine(tmp_path / "x.engine", "amcnet", card={"outputs": listed[:-1]})
    with pytest.raises(ModelFileError, match=r"expected also gate_scores\..*or --engine with one built from it"):
        SegmenterPlan.make(engine=engine, explain=True)
    engine = make_engine(tmp_path / "y.engine", "amcnet", card={"outputs": listed})
    assert SegmenterPlan.make(engine=engine, explain=True).explain


def test_explain_without_attention_outputs_is_refused(clip: Path, amcnet_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"expected also attention0, .*gate_scores\. Fix: export-onnx amcnet"):
        Segmenter.load(amcnet_onnx, explain=True)
    options = InferOptions(source=clip, output=tmp_path / "out", amcnet=amcnet_onnx, write=("explain",))
    with Segmenter.load(amcnet_onnx) as segmenter, pytest.raises(InputError, match=r"Segmenter\.load\(explain=True\)"):
        infer(options, segmenter=segmenter)


def test_the_height_of_bars_equals_the_scores() -> None:
    scores = np.array([[1, 0.5], [0, 0.25], [0.1, 0.9], [0.3, 0.7], [0.6, 0.2]])
    image = explanation_image(_scene(scores))
    assert image.shape == (540, 960, 3)
    panel = image[360:, 640:][20:]  # below the words, which have the same colors
    for stream, color in enumerate((IMAGE_RGB, FLOW_RGB)):
        column = (panel == color).all(axis=2)
        heights = [column[:, level * 64 : (level + 1) * 64].sum(axis=0).max() - 1 for level in range(5)]
        np.testing.assert_allclose(np.array(heights) / (180 - 48 - 24), scores[:, stream], atol=0.02)


def test_the_maps_are_ordered_and_colored() -> None:
    image = explanation_image(_scene(np.full((5, 2), 0.5)))
    middles = [image[180 * row + 90, 320 * column + 160] for row, column in ((1, 0), (1, 1), (1, 2), (2, 0), (2, 1))]
    bright = [int(pixel.astype(int).sum()) > 380 for pixel in middles]
    assert bright == [False, True, False, True, False], "the maps of the scene are 0, 1, 0, 1, 0"


@pytest.mark.parametrize("size", [(1, 1), (400, 3), (3, 400)])
def test_frames_of_every_shape_are_drawn(size: tuple[int, int]) -> None:
    width, height = size
    m = _scene(np.full((5, 2), 0.5))
    mask = np.ones((height, width), np.bool_)
    drawn = explanation_image(
        replace(m, frame=Frame(np.zeros((height, width, 3), np.uint8), 0, 0, 0.0), mask=mask, probability=mask * 1.0)
    )
    assert drawn.shape[1] == 960
    assert 480 <= drawn.shape[0] <= 1920


def test_the_text_file_and_the_plot_have_the_scores() -> None:
    scores = np.linspace(0, 0.9, 10).reshape(5, 2)
    rows = list(csv.reader(io.StringIO(scores_lines(_scene(scores)))))
    assert [row[:3] for row in rows] == [["3", "0.5", str(level)] for level in range(5)]
    np.testing.assert_allclose(np.array(rows)[:, 3:].astype(float), scores, atol=1e-6)
    clip_scores = [np.full((5, 2), value, np.float32) for value in (0, 0.5, 1)]
    lines = ElementTree.fromstring(scores_plot([0.0, 0.1, 0.2], clip_scores)).findall("{*}polyline")
    points = [[tuple(map(float, point.split(","))) for point in line.attrib["points"].split()] for line in lines]
    assert len(points) == 10
    for level in range(5):
        bottom = points[2 * level][0][1]
        assert [(x, bottom - y) for x, y in points[2 * level]] == [(60, 0), (500, 45), (940, 90)]


def test_the_plot_of_a_long_clip_is_short() -> None:
    scores = [np.full((5, 2), index % 2, np.float32) for index in range(10_000)]
    plot = ElementTree.fromstring(scores_plot([index / 25 for index in range(10_000)], scores))
    first = plot.findall("{*}polyline")[0].attrib["points"].split()
    assert len(first) == 1000
    assert {point.split(",")[1] for point in first} == {"85.0"}, "the mean of ten frames, half of them 1"
    assert scores_plot([1.0], scores[:1]).count("polyline") == 10
