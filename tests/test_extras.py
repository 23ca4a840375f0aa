"""Each command with the core dependencies alone: its help, and either its work or the extra that it needs."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import cv2
import numpy as np
import pytest

import amcnet
from amcnet.benchmarks.demo_clip import write_clip
from amcnet.runtime import extras
from amcnet.runtime.errors import BackendError
from amcnet.runtime.segmenter import DEFAULT_AMCNET

PROJECT = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text())["project"]
SCRIPTS: dict[str, str] = PROJECT["scripts"]
MODEL = str(DEFAULT_AMCNET)
# The shortest use of each command -> the end of what it says and its exit status; several where it has several parts.
USES: list[tuple[str, str, int]] = [
    ("amc-infer clip.mp4", "ONNX Runtime, which is not installed. Fix: pip install 'amcnet[cpu]'", 2),
    ("amc-batch clip.mp4 -o out", "ONNX Runtime, which is not installed. Fix: pip install 'amcnet[cpu]'", 2),
    ("amc-view run", "run/page.html", 0),
    ("amc-demo", "amc-demo needs Gradio, which is not installed. Fix: pip install 'amcnet[demo]'", 2),
    ("amc-train -o out", "amc-train needs PyTorch, which is not installed. Fix: pip install 'amcnet[train]'", 2),
    ("amc-eval --masks masks --annotations masks", "average", 0),
    ("amc-bench", "ONNX Runtime, which is not installed. Fix: pip install 'amcnet[cpu]'", 2),
    ("export-onnx amcnet --seed 1", "export-onnx needs PyTorch, which is not installed. Fix: pip install", 2),
    ("export-onnx pwcnet --seed 1", "export-onnx needs PyTorch, which is not installed. Fix: pip install", 2),
    (
        f"amc-calibrate {MODEL} --clips clip.mp4 -o x.onnx",
        "amc-calibrate needs ONNX IR, which is not installed. Fix: pip",
        2,
    ),
    (
        f"build-engine {MODEL} -o x.engine",
        "needs TensorRT-RTX, which is not installed. Fix: pip install 'amcnet[rtx]'",
        2,
    ),
    (f"build-engine {MODEL} -o x.engine --fp16", "build-engine --fp16 needs ONNX, which is not installed. Fix: pip", 2),
    (f"build-engine {MODEL} -o x.engine --int8", "build-engine --int8 needs ONNX, which is not installed. Fix: pip", 2),
    ("amc-check", "build TensorRT-RTX engines: no: pip install 'amcnet[rtx]'", 0),
    (f"amc-check {MODEL}", "needs ONNX Runtime, which is not installed: pip install 'amcnet[cpu]'", 1),
]


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds links to this package and to its core dependencies, and nothing else."""
    environment = tmp_path_factory.mktemp("core")
    venv.EnvBuilder(symlinks=os.name != "nt").create(environment)
    folder = Path(sysconfig.get_path("purelib", "venv", {"base": str(environment)}))
    for requirement in PROJECT["dependencies"]:
        name = re.match(r"[\w-]+", requirement)
        assert name is not None
        distribution = importlib.metadata.distribution(name[0])
        for part in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            (folder / part).symlink_to(Path(str(distribution.locate_file(part))).resolve())
    (folder / "amcnet").symlink_to(Path(amcnet.__file__).resolve().parent)
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    write_clip(folder / "clip.mp4", 3)
    (folder / "masks" / "clip").mkdir(parents=True)
    (folder / "run" / "masks").mkdir(parents=True)
    names = [f"{index:05d}.png" for index in range(3)]
    for masks in (folder / "masks" / "clip", folder / "run" / "masks"):
        for name in names:
            cv2.imwrite(str(masks / name), np.full((8, 8), 255, np.uint8))
    rows = [{"mask": name, "source": index, "seconds": index / 25} for index, name in enumerate(names)]
    (folder / "run" / "run.json").write_text(json.dumps({"frame_list": rows}))
    return folder


def _run(core: Path, folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    module, _, function = SCRIPTS[script].partition(":")
    code = f"import sys; sys.argv[0] = {script!r}; from {module} import {function}; sys.exit({function}())"
    command = [str(core), "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def test_the_test_environment_has_only_the_core_dependencies(core: Path) -> None:
    modules = [*extras._PACKAGES, "numpy", "cv2", "av", "tqdm"]
    code = f"import importlib.util; print([m for m in {modules} if importlib.util.find_spec(m)])"
    command = [str(core), "-c", code]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "['numpy', 'cv2', 'av', 'tqdm']\n"


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_needs_no_extra(core: Path, tmp_path: Path, script: str) -> None:
    done = _run(core, tmp_path, script, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {script}")


@pytest.mark.parametrize(("use", "said", "status"), USES, ids=[use.replace(MODEL, "MODEL") for use, *_ in USES])
def test_each_command_without_extras_works_or_names_the_extra(
    core: Path, workplace: Path, use: str, said: str, status: int
) -> None:
    done = _run(core, workplace, *use.split())
    assert "Traceback" not in done.stderr
    assert done.returncode == status, done.stderr
    with_progress = done.stderr if status == 2 else done.stdout
    assert said in with_progress
    if status == 2:
        assert with_progress.splitlines()[-1].startswith("error: "), "one line"


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("export_amcnet", "PyTorch"),
        ("calibrate", "ONNX IR"),
    ],
)
def test_a_public_name_without_its_extra_names_the_extra(core: Path, name: str, package: str) -> None:
    command = [str(core), "-c", f"import amcnet; amcnet.Segmenter, amcnet.open_frames, amcnet.{name}"]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith(
        f"BackendError: amcnet.{name} needs {package}, which is not installed. Fix: pip install 'amcnet[export]'"
    )


def test_all_commands_are_tested() -> None:
    assert {use.split()[0] for use, *_ in USES} == set(SCRIPTS)


def test_the_extras_equal_those_of_pyproject() -> None:
    assert {extra for _, extra in extras._PACKAGES.values()} <= set(PROJECT["optional-dependencies"])


def test_installed_packages_are_no_error() -> None:
    extras.require("this test", "torch", "onnx")
    with extras.needed_by("this test"):
        import onnx  # noqa: F401


def test_only_optional_dependencies_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModuleNotFoundError, match="made_up"), extras.needed_by("this test"):
        import made_up  # type: ignore[import-not-found]  # noqa: F401
    monkeypatch.setitem(sys.modules, "torch", None)
    message = r"^this test needs PyTorch, which is not installed\. Fix: pip install 'amcnet\[export\]'$"
    with pytest.raises(BackendError, match=message), extras.needed_by("this test"):
        import torch  # noqa: F401
    with pytest.raises(BackendError, match=message):
        extras.require("this test", "torch")
    with pytest.raises(BackendError, match=r"amcnet\[train\]"):
        extras.require("this test", "torch", extra="train")
