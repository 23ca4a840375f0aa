"""All studies: their help without extras, their variants, and the libraries that they run."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from amcnet.benchmarks.demo_clip import write_clip
from amcnet.benchmarks.studies.ablation import VARIANTS
from amcnet.benchmarks.studies.batch_plot import write_plot
from amcnet.benchmarks.studies.batch_speed import repeat_clip
from amcnet.benchmarks.studies.cpu_speed import Variant, run_infer
from amcnet.runtime.extras import _PACKAGES
from amcnet.runtime.video.reader import open_frames
from amcnet.training.recipe import LIGHT

ROOT = Path(__file__).resolve().parents[3]
STUDIES = sorted(path.stem for path in (ROOT / "benchmarks" / "studies").glob("[!_]*.py"))
# In one process: the help of each study, then the shortest use of those that need an extra.
WITHOUT_EXTRAS = """
import contextlib, importlib, io, json, sys
import amcnet.benchmarks
amcnet.benchmarks.__path__.append(sys.argv[1])
for module in json.loads(sys.argv[2]):
    sys.modules[module] = None
found = {}
for name, arguments in json.loads(sys.argv[3]):
    main = importlib.import_module(f"amcnet.benchmarks.studies.{name}").main
    sys.argv = [name, *arguments]
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            status = main()
        except SystemExit as stopped:
            status = stopped.code
    found[" ".join([name, *arguments])] = [status, output.getvalue()]
print(json.dumps(found))
"""
NEEDS = {
    "ablation --train x --pictures x --encoder x --val x -o x": "PyTorch",
    "batch_plot": "Matplotlib",
    "conversion_speed": "PyTorch",
    "correlation_limit": "PyTorch",
    "cpu_speed": "ONNX Runtime",
    "flow_presets --davis x": "ONNX Runtime",
    "flow_speed x --raft x": "PyTorch",
    "frames_at_once": "ONNX Runtime",
    "input_size --checkpoint x --davis x": "PyTorch",
    "int8_speed --clip x": "PyTorch",
    "operator_speed": "PyTorch",
    "peer_loops": "ONNX Runtime",
    "preprocess_speed": "Pillow",
    "raft_int8 x --raft x": "PyTorch",
    "readme_picture": "Pillow",
    "stage_budget": "ONNX Runtime",
    "resolutions": "ONNX Runtime",
}


@pytest.fixture(scope="module")
def without_extras() -> dict[str, tuple[int, str]]:
    """Exit status and output of each study, in a process without optional dependencies."""
    calls = [[name, ["--help"]] for name in STUDIES] + [[use.split()[0], use.split()[1:]] for use in NEEDS]
    arguments = [str(ROOT / "benchmarks"), json.dumps(list(_PACKAGES)), json.dumps(calls)]
    command = [sys.executable, "-c", WITHOUT_EXTRAS, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, tuple[int, str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("study", STUDIES)
def test_help_needs_no_extra(without_extras: dict[str, tuple[int, str]], study: str) -> None:
    status, output = without_extras[f"{study} --help"]
    assert status == 0, output
    assert output.startswith("usage: ")


@pytest.mark.parametrize("use", NEEDS)
def test_a_missing_extra_is_named(without_extras: dict[str, tuple[int, str]], use: str) -> None:
    status, output = without_extras[use]
    assert status == 2
    assert output.startswith(f"error: {use.split()[0]} needs {NEEDS[use]}, which is not installed. Fix: pip install")
    assert output.count("\n") == 1


@pytest.mark.parametrize("name", VARIANTS)
def test_each_variant_of_the_ablation_is_a_recipe(name: str) -> None:
    variant = VARIANTS[name]
    assert (replace(LIGHT, **variant.changes) != LIGHT) is bool(variant.changes)


@pytest.mark.parametrize("library", ["ONNX Runtime", "OpenVINO"])
def test_a_whole_run_uses_the_library_of_its_variant(library: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", 6)
    assert run_infer(Variant(library, "fp32"), tmp_path / "clip.mp4", tmp_path / "out") > 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["backend"].startswith(library)


def test_a_repeated_clip_has_the_frames_of_the_clip(tmp_path: Path) -> None:
    short, long = tmp_path / "short.mp4", tmp_path / "long.mp4"
    write_clip(short, 5, (96, 64))
    repeat_clip(short, long, 3)
    with open_frames(short) as one, open_frames(long) as three:
        frames, repeated = list(one), list(three)
    assert [frame.pts_seconds for frame in repeated] == pytest.approx([place / 24 for place in range(15)])
    assert all((again.pixels == frames[place % 5].pixels).all() for place, again in enumerate(repeated))


def test_the_plot_shows_each_value(tmp_path: Path) -> None:
    rows = [
        {"frames_per_clip": 24, "size": [160, 96], "jobs": jobs, "videos_per_minute": 31.4 * jobs, "memory_mib": 401.0}
        for jobs in (1, 2)
    ]
    write_plot(tmp_path / "plot.svg", rows)
    shown = (tmp_path / "plot.svg").read_text()
    assert all(f">{text}<" in shown for text in ("31", "63", "401", "24 frames, 160x96"))


def test_the_wheel_names_no_command_of_a_study() -> None:
    packages = [folder for folder in ROOT.iterdir() if (folder / "__init__.py").is_file()]
    paths = [path for package in packages for path in package.rglob("*.py") if "studies" not in path.parts]
    assert len(paths) > 100
    assert not [path for path in paths if "benchmarks.studies" in path.read_text()]
