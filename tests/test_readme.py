"""README.md and docs/: commands run in their order, figures come from committed measurements, links resolve."""

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
from amcnet.models import AMCNet, AMCNetConfig, PWCNet, seed_weights
from amcnet.training.recipe import RECIPES

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {str(path.relative_to(ROOT)): path.read_text() for path in DOCUMENTS}
COMMANDS = {
    name: [line.split("#")[0].strip() for line in re.findall(r"^\$ (.+)$", text, re.MULTILINE)]
    for name, text in TEXTS.items()
}
RESULTS = {  # of the commands of a document
    "README.md": ["video-amcnet/overlay.mp4", "build/amcnet.int8.onnx", "build/amcnet.engine.json"],
    "docs/batch.md": [
        *("masks/day1/front/overlay.mp4", "masks/summary.html", "front/day1/front/run.json"),
        *("listed/videos/a/run.json", "clips/one/masks", "shards/summary.1-of-2.html", "shards/summary.html"),
    ],
    "docs/benchmarks.md": ["scores.json"],
    "docs/engines.md": ["build/amcnet.engine.json"],
    "docs/formats.md": ["images/probabilities", "part/masks", "paper/run.json", "raft/run.json", "build/pipeline.onnx"],
    "docs/quantization.md": ["build/amcnet.int8.onnx", "build/amcnet.int8.json", "video-amcnet/run.json"],
    "docs/training.md": ["trial/best.pth", "build/amcnet.onnx"],
}
SIZE = (96, 64)
FRAMES = 8
SECONDS = 300  # that the slowest command may take; 20 are usual


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with the files that the documents' commands take as given."""
    folder = tmp_path
    torch.save(seed_weights(AMCNet(AMCNetConfig(backbone="resnet18")), 1).state_dict(), folder / "amc.pth")
    torch.save(seed_weights(PWCNet(), 1).state_dict(), folder / "pwc.pth")
    rng = np.random.default_rng(0)
    with av.open(str(folder / "video.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height = SIZE
        for _ in range(FRAMES):
            pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    (folder / "videos" / "day1").mkdir(parents=True)
    for name in ("a.mp4", "day1/front.mp4"):
        shutil.copy(folder / "video.mp4", folder / "videos" / name)
    (folder / "videos.txt").write_text("# a list\nvideos/a.mp4\n")
    for name in ("frames", "raft-flow", "annotations", "shots/one"):
        (folder / name).mkdir(parents=True)
        for index in range(FRAMES):
            pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
            if name == "annotations":
                pixels = (pixels[..., 0] > 127).astype(np.uint8) * np.uint8(255)
            cv2.imwrite(str(folder / name / f"{index:05d}.png"), pixels)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_run_in_order(name: str, workplace: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    assert COMMANDS[name]
    for command in COMMANDS[name]:
        if command.startswith("pip "):
            continue  # this environment is the result of it
        status, _, with_progress = _run(shlex.split(command), workplace, environment)
        assert status == 0, f"{command}\n{with_progress}"
    for path in RESULTS[name]:
        assert (workplace / path).exists(), path
    for masks in workplace.glob("video-amcnet/masks"):
        assert len(list(masks.iterdir())) == FRAMES
    for python in re.findall(r"```python\n(.+?)```", TEXTS[name], re.DOTALL):
        status, printed, with_progress = _run([sys.executable, "-c", python], workplace, environment)
        assert status == 0, with_progress
        assert len(printed.splitlines()) == FRAMES


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str, str]:
    """Exit status, stdout and stderr. A command that hangs is aborted, and its stderr says where each thread was."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment | {"PYTHONFAULTHANDLER": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            printed, with_progress = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            printed, with_progress = process.communicate()
            with_progress = f"no end after {SECONDS} s\n{with_progress}"
    return process.returncode, printed, with_progress


def test_the_figures_are_measured() -> None:
    for path, updated in documents_with_figures(ROOT).items():
        assert path.read_text() == updated, path
    assert "| ms per frame |" in README


def test_the_readme_is_short_and_has_the_python_example() -> None:
    assert len(README.encode()) <= 7000
    assert len(re.findall(r"```python\n", README)) == 1


def test_the_extras_that_are_named_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    texts = TEXTS | {"CONTRIBUTING.md": (ROOT / "CONTRIBUTING.md").read_text()}
    named = {
        extra for text in texts.values() for group in re.findall(r"'\.\[(.+?)\]'", text) for extra in group.split(",")
    }
    assert "cpu" in named
    assert named <= set(extras)


@pytest.mark.parametrize("name", [*TEXTS, "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md"])
def test_links_within_the_repository_resolve(name: str) -> None:
    path = ROOT / name
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", path.read_text())
    for link in links:
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        if anchor:
            assert anchor in {_slug(title) for title in re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)}, (
                link
            )


def _slug(title: str) -> str:
    """The anchor of a heading, as code hosts make it."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def test_every_recipe_is_documented() -> None:
    assert all(f"| `{name}`" in TEXTS["docs/training.md"] for name in RECIPES)


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make (\w+)", README, re.MULTILINE)
    assert targets == ["demo", "test"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
