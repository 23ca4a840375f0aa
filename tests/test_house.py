"""The rules of the house: what may stand where, and what may know of what."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
# A folder imports from those left of it. Nothing but benchmarks imports training.
CHAIN = ["runtime", "models", "export", "calibration", "engines", "benchmarks"]
MAY_IMPORT = {folder: set(CHAIN[: index + 1]) for index, folder in enumerate(CHAIN)} | {
    "training": {"training", "models", "export", "runtime"}  # export: files, preprocessing
}
MAY_IMPORT["runtime"] |= {"export", "engines"}  # the files that it runs: ONNX files, preprocessing, engines, cards
MAY_IMPORT["benchmarks"].add("training")  # benchmarks read all


def _project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Level and module of each `from` import, level 0 and name of each plain one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((node.level, name) for name in names)
        elif isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)


def test_packages_are_the_folders_with_an_init() -> None:
    listed = _project()["tool"]["setuptools"]["packages"]  # type: ignore[index]
    assert sorted(listed) == ["amcnet", *(f"amcnet.{folder}" for folder in FOLDERS)]


def test_no_loose_modules_at_the_root() -> None:
    assert [path.name for path in ROOT.glob("*.py")] == ["__init__.py"]


def test_tests_are_no_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_are_relative_and_flow_one_way(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    is_command = path.stem.endswith("cli")  # a command is where the parts meet: build-engine reads clips, say
    for level, module in _imports(path):
        assert level > 0 or module.split(".")[0] != "amcnet", f"{module} is imported absolutely"
        if level == 2 and not is_command and (ROOT / module.split(".")[0] / "__init__.py").exists():
            assert module.split(".")[0] in MAY_IMPORT[folder], f"{folder} imports {module}"


def test_sessions_are_opened_in_one_place() -> None:
    """With the same options: what is compared is what runs. Benchmarks measure the library with other options, too."""
    found = {str(path.relative_to(ROOT)) for path in MODULES if "InferenceSession(" in path.read_text()}
    assert {name for name in found if not name.startswith("benchmarks/")} == {"runtime/onnxruntime_session.py"}


def _import_with_blocked(modules: list[str], blocked: list[str]) -> None:
    code = f"""
import importlib, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(f"{{name}} is blocked")
sys.meta_path.insert(0, Block())
for module in {modules!r}:
    importlib.import_module(module)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def _names(folder: str) -> list[str]:
    return [f"amcnet.{folder}.{path.stem}" for path in sorted((ROOT / folder).glob("*.py")) if path.stem[0] != "_"]


def test_the_runtime_imports_without_what_it_does_not_need() -> None:
    _import_with_blocked(
        ["amcnet", "amcnet.runtime", *_names("runtime")],
        ["torch", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "safetensors", "PIL", "matplotlib"],
    )


def test_the_rest_imports_without_runtimes() -> None:
    _import_with_blocked(
        [name for folder in FOLDERS for name in _names(folder)], ["onnxruntime", "tensorrt", "cuda", "openvino", "PIL"]
    )


def test_importing_amcnet_loads_nothing_heavy() -> None:
    code = "import amcnet, sys; print(sorted({'numpy', 'cv2', 'av', 'torch', 'tqdm'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("path", sorted(ROOT.glob("*/cli.py")), ids=lambda path: path.parent.name)
def test_a_commands_main_is_a_thin_skin(path: Path) -> None:
    main = next(n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef) and n.name == "main")
    assert main.end_lineno is not None
    assert main.end_lineno - main.lineno < 40


def test_each_command_is_installed_and_helps() -> None:
    scripts = _project()["project"]["scripts"]  # type: ignore[index]
    assert {"amc-infer", "amc-eval", "export-onnx"} <= set(scripts)
    for script in scripts:
        path = Path(sys.executable).parent / script
        result = subprocess.run([path, "--help"], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert "examples:" in result.stdout, f"{script} --help shows no example"


PUBLIC = {
    "amcnet": "AmcNetError BackendError CheckpointError EngineError InputError MaskFrame ModelFileError OutputError "
    "Segmenter __version__",
    "amcnet.models": "AMCNet AMCNetConfig AMCNetOutput PWCNet load_amcnet load_pwcnet seed_weights",
    "amcnet.export": "ExportOptions Exported OnnxFile Preprocessing Seed export_amcnet export_pipeline export_pwcnet",
    "amcnet.calibration": "Calibrated Calibration CalibrationTable Quantised calibrate calibrate_on_batches quantise",
    "amcnet.benchmarks": "Evaluation Stability evaluate temporal_stability video_stability",
}


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names(package: str) -> None:
    module = __import__(package, fromlist=["__all__"])
    assert sorted(module.__all__) == sorted(PUBLIC[package].split())
    for name in module.__all__:
        assert getattr(module, name) is not None
