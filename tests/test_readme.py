"""README.md and docs/: console blocks and Python examples run; figures, links, paths, extras and targets are true."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from amcnet.benchmarks.studies.readme_figures import documents_with_figures
from amcnet.models import RAFT, AMCNet, AMCNetConfig, PWCNet, seed_weights
from amcnet.training.recipe import RECIPES

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
TEXTS = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}
ALL_TEXTS = TEXTS | {
    name: (ROOT / name).read_text()
    for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "benchmarks/README.md", "models/weights/README.md")
}
SIZE = (96, 64)
FRAMES = 8
SECONDS = 300  # that the slowest command may take; 20 are usual


def _console_blocks() -> dict[str, list[str]]:
    """ "docs/formats.md, 1" -> the commands of its first block, those that begin with a dollar sign, without pip."""
    blocks = {}
    for name, text in TEXTS.items():
        found = [
            re.findall(r"^\$ (.+)$", block, re.MULTILINE) for block in re.findall(r"```console\n(.+?)```", text, re.S)
        ]
        # A block of pip alone is checked by test_the_documented_extras_exist.
        runs = [[line.split("#")[0].strip() for line in lines if not line.startswith("pip ")] for lines in found]
        blocks |= {f"{name}, {number}": lines for number, lines in enumerate(filter(None, runs), 1)}
    return blocks


BLOCKS = _console_blocks()
RESULTS = {  # files that the commands of a block write
    "README.md, 1": ["video-amcnet/overlay.mp4", "cut/rle.jsonl", "build/amcnet.int8.onnx", "build/amcnet.engine.json"],
    "docs/batch.md, 1": ["masks/a/overlay.mp4", "masks/day1/front/overlay.mp4", "masks/summary.html"],
    "docs/batch.md, 2": ["front/day1/front/run.json", "listed/videos/a/run.json", "clips/one/masks"],
    "docs/batch.md, 3": ["shards/summary.1-of-2.html", "shards/summary.html"],
    "docs/benchmarks.md, 1": ["scores.json"],
    "docs/benchmarks.md, 2": ["fbms.json", "fbms/cars1/masks/cars1_03.png"],
    "docs/engines.md, 1": ["build/amcnet.engine.json"],
    "docs/formats.md, 1": ["images/probabilities", "part/masks", "fine/run.json", "video-amcnet/run.json"],
    "docs/formats.md, 2": ["paper/run.json", "raft/run.json", "raft-small/run.json"],
    "docs/formats.md, 3": ["build/pipeline.onnx"],
    "docs/outputs.md, 1": ["video-amcnet/alpha.mov", "blurred/background.mp4", "soft/matte.mkv"],
    "docs/outputs.md, 2": ["video-amcnet/explain/00007.png", "video-amcnet/explain.csv", "video-amcnet/explain.svg"],
    "docs/quantization.md, 1": ["build/amcnet.int8.onnx", "build/amcnet.int8.json", "video-amcnet/run.json"],
    "docs/training.md, 1": ["trial/best.pth", "build/amcnet.onnx"],
    "docs/view.md, 1": ["video-amcnet/page.html"],
}
PYTHON_LINES = {
    "README.md": FRAMES,
    "docs/outputs.md": FRAMES,
    "docs/python.md": len(range(2, FRAMES, 2)),
}  # printed, one per frame


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with the files that the documents' commands use."""
    torch.save(seed_weights(AMCNet(AMCNetConfig(backbone="resnet18")), 1).state_dict(), tmp_path / "amc.pth")
    torch.save(seed_weights(PWCNet(), 1).state_dict(), tmp_path / "pwc.pth")
    torch.save(seed_weights(RAFT(), 1).state_dict(), tmp_path / "raft-small.pth")
    _write_video(tmp_path / "video.mp4")
    rng = np.random.default_rng(0)
    for name in ("frames", "raft-flow", "annotations"):
        (tmp_path / name).mkdir()
        for index in range(FRAMES):
            pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
            if name == "annotations":
                pixels = (pixels[..., 0] > 127).astype(np.uint8) * np.uint8(255)
            cv2.imwrite(str(tmp_path / name / f"{index:05d}.png"), pixels)
    for name, index in [("frames", i) for i in range(FRAMES)] + [("GroundTruth", i) for i in (0, 3)]:
        folder = tmp_path / "FBMS" / "cars1" / name
        folder.mkdir(parents=True, exist_ok=True)
        source = "frames" if name == "frames" else "annotations"
        shutil.copy(tmp_path / source / f"{index:05d}.png", folder / f"cars1_{index:02d}.png")
    (tmp_path / "videos" / "day1").mkdir(parents=True)
    for name in ("a.mp4", "day1/front.mp4"):
        shutil.copy(tmp_path / "video.mp4", tmp_path / "videos" / name)
    (tmp_path / "videos.txt").write_text("# a list\nvideos/a.mp4\n")
    shutil.copytree(tmp_path / "frames", tmp_path / "shots" / "one")
    return tmp_path


def _write_video(path: Path) -> None:
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height = SIZE
        for _ in range(FRAMES):
            pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_the_commands_of_a_block_run_in_order(block: str, workplace: Path) -> None:
    for command in BLOCKS[block]:
        status, _, errors = _run(shlex.split(command), workplace)
        assert status == 0, f"{command}\n{errors}"
    for path in RESULTS[block]:
        assert (workplace / path).exists(), path
    for masks in workplace.glob("video-amcnet/masks"):
        assert len(list(masks.iterdir())) == FRAMES


@pytest.mark.parametrize("name", PYTHON_LINES)
def test_the_python_examples_run(name: str, tmp_path: Path) -> None:
    _write_video(tmp_path / "video.mp4")
    (python,) = re.findall(r"```python\n(.+?)```", TEXTS[name], re.DOTALL)
    status, printed, errors = _run([sys.executable, "-c", python], tmp_path)
    assert status == 0, errors
    assert len(printed.splitlines()) == PYTHON_LINES[name]


def _run(command: list[str], folder: Path) -> tuple[int, str, str]:
    """Exit status, stdout and stderr. A command that hangs is aborted; its stderr has the stack of each thread."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PATH": path, "PYTHONFAULTHANDLER": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            printed, errors = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            printed, errors = process.communicate()
            errors = f"no end after {SECONDS} s\n{errors}"
    return process.returncode, printed, errors


def test_every_block_and_every_python_example_has_a_test() -> None:
    assert sorted(BLOCKS) == sorted(RESULTS)
    assert {name for name, text in TEXTS.items() if "```python" in text} == set(PYTHON_LINES)


def test_the_figures_equal_the_committed_measurements() -> None:
    for path, updated in documents_with_figures(ROOT).items():
        assert path.read_text() == updated, path
    assert "| ms, AVX2 |" in README


def test_the_readme_is_short() -> None:
    assert len(README.encode()) <= 7000


@pytest.mark.parametrize("name", ALL_TEXTS)
def test_the_documented_extras_exist(name: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    groups = re.findall(r"'(?:\.|amcnet)\[(.+?)\]'", ALL_TEXTS[name])
    assert {extra for group in groups for extra in group.split(",")} <= set(extras)
    assert groups or name != "README.md"


@pytest.mark.parametrize("name", ALL_TEXTS)
def test_links_within_the_repository_resolve(name: str) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", ALL_TEXTS[name]):
        file, _, anchor = link.partition("#")
        target = (ROOT / name).parent / file if file else ROOT / name
        assert target.exists(), link
        if anchor:
            titles = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in {_slug(title) for title in titles}, link


def _slug(title: str) -> str:
    """The anchor of a heading, as code hosts make it."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("name", sorted(ALL_TEXTS.keys() - {"CHANGELOG.md"}))  # which names former paths too
def test_the_documented_paths_exist(name: str) -> None:
    folders = sorted(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "build")))
    named = set(re.findall(rf"(?<![\w/.-])(?:{'|'.join(folders)})/[\w./*-]*[\w*/]", ALL_TEXTS[name]))
    named |= {path.replace(".", "/") for path in re.findall(r"python -m amcnet\.([\w.]+)", ALL_TEXTS[name])}
    missing = [path for path in named if not (_found(path) or _found(path + ".py"))]
    assert not missing
    assert named or name not in ("README.md", "CONTRIBUTING.md")


def _found(path: str) -> bool:
    return any(ROOT.glob(path.rstrip("/")))


def test_every_recipe_is_documented() -> None:
    assert all(f"| `{name}`" in TEXTS["docs/training.md"] for name in RECIPES)


def test_the_documented_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^(\w[\w-]*):", makefile, re.MULTILINE))
    assert re.findall(r"^make ([\w-]+)", README, re.MULTILINE) == ["demo", "test"]
    texts = ALL_TEXTS | {name: (ROOT / name).read_text() for name in (".ci/run", ".github/workflows/ci.yml")}
    named = {
        target
        for text in texts.values()
        for line in re.findall(r"^(?:make|.*run: make) .+$|`make [^`]+`", text, re.MULTILINE)
        for target in re.findall(r"make ([a-z][a-z-]*)", line)
    }
    assert {"demo", "test", "test-slow", "gpu-check"} <= named <= targets


def test_all_tiers_run_in_continuous_integration() -> None:
    nightly = (ROOT / ".github/workflows/ci.yml").read_text().partition("\n  slow:\n")[2]
    assert (ROOT / ".ci/run").read_text().splitlines()[-2:] == ["make test", "make test-slow"]
    assert "schedule" in nightly
    assert "run: make test-slow" in nightly
    assert "run: make test-ray" in nightly
