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
from amcnet.benchmarks.studies.cpu_speed import Variant, run_infer
from amcnet.runtime.extras import _PACKAGES
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
    "conversion_speed": "PyTorch",
    "correlation_limit": "PyTorch",
    "cpu_speed": "ONNX Runtime",
    "flow_speed x --raft x": "PyTorch",
    "input_size --checkpoint x --davis x": "PyTorch",
    "int8_speed --clip x": "PyTorch",
    "operator_speed": "PyTorch",
    "preprocess_speed": "Pillow",
    "raft_int8 x --raft x": "PyTorch",
    "readme_picture": "Pillow",
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


def test_the_wheel_names_no_command_of_a_study() -> None:
    packages = [folder for folder in ROOT.iterdir() if (folder / "__init__.py").is_file()]
    paths = [path for package in packages for path in package.rglob("*.py") if "studies" not in path.parts]
    assert len(paths) > 100
    assert not [path for path in paths if "benchmarks.studies" in path.read_text()]
