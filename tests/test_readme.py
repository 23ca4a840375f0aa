"""The README: its commands run, in its order, and its figures are those of committed measurements."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from amcnet.benchmarks.readme_figures import with_figures
from amcnet.models import AMCNet, AMCNetConfig, PWCNet, seed_weights

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = [line.split("#")[0].strip() for line in re.findall(r"^\$ (.+)$", README, re.MULTILINE)]
SIZE = (96, 64)
FRAMES = 8
SECONDS = 300  # that the slowest command may take; 20 are usual


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the README's commands take as given."""
    folder = tmp_path_factory.mktemp("readme")
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
    for name in ("frames", "raft-flow", "annotations"):
        (folder / name).mkdir()
        for index in range(FRAMES):
            pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
            if name == "annotations":
                pixels = (pixels[..., 0] > 127).astype(np.uint8) * np.uint8(255)
            cv2.imwrite(str(folder / name / f"{index:05d}.png"), pixels)
    return folder


@pytest.mark.slow
def test_the_commands_run_in_order(workplace: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    assert len(COMMANDS) >= 10
    for command in COMMANDS:
        if command.startswith("pip "):
            continue  # this environment is the result of it
        status, _, told = _run(shlex.split(command), workplace, environment)
        assert status == 0, f"{command}\n{told}"
    assert len(list((workplace / "video-amcnet" / "masks").iterdir())) == FRAMES
    assert (workplace / "video-amcnet" / "overlay.mp4").stat().st_size > 0
    assert (workplace / "build" / "pipeline.onnx").exists()

    (python,) = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    status, printed, told = _run([sys.executable, "-c", python], workplace, environment)
    assert status == 0, told
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
            printed, told = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            printed, told = process.communicate()
            told = f"no end after {SECONDS} s\n{told}"
    return process.returncode, printed, told


def test_the_figures_are_measured() -> None:
    assert with_figures(README, ROOT / "benchmarks" / "results") == README
    assert "| ms per frame |" in README


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make (\w+)", README, re.MULTILINE)
    assert targets == ["demo", "test"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
