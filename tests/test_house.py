"""The rules of LAYOUT: folders, the direction of imports, packages, commands and public names."""

from __future__ import annotations

import ast
import graphlib
import inspect
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import amcnet

ROOT = Path(__file__).resolve().parents[1]
# A folder imports from itself and from those left of it; training and export do not know each other.
ORDER = ["runtime", "models", "training", "export", "calibration", "engines", "benchmarks"]
MAY_IMPORT = {folder: set(ORDER[: place + 1]) for place, folder in enumerate(ORDER)}
for above in ("export", "calibration", "engines"):
    MAY_IMPORT[above].discard("training")
NOT_IN_THE_WHEEL = {"amcnet.benchmarks.studies"}
MODULES = sorted(
    path.relative_to(ROOT) for path in (ROOT / "__init__.py", *(p for f in ORDER for p in (ROOT / f).rglob("*.py")))
)
PACKAGES = sorted(".".join(["amcnet", *path.parent.parts]) for path in MODULES if path.name == "__init__.py")


def _project() -> Any:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _file(parts: list[str]) -> Path | None:
    """The file of the module amcnet.`parts`, if there is one."""
    for path in (Path(*parts[:-1], f"{parts[-1]}.py") if parts else None, Path(*parts, "__init__.py")):
        if path is not None and (ROOT / path).is_file():
            return path
    return None


def _relative_imports(path: Path, tree: ast.AST) -> Iterator[Path]:
    """The files that the relative imports in a file name, at any depth of dots and inside functions too."""
    package = list(path.parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level > 0:
            kept = len(package) - node.level + 1
            assert kept >= 0, f"{path}:{node.lineno} reaches above the package"
            base = package[:kept] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                imported = _file([*base, alias.name]) or _file(base)
                assert imported is not None, f"{path}:{node.lineno} imports {alias.name}, which is nowhere"
                yield imported


def _graph(root_files: list[Path]) -> dict[Path, set[Path]]:
    return {path: set(_relative_imports(path, ast.parse((ROOT / path).read_text()))) for path in root_files}


GRAPH = _graph(MODULES)


def test_imports_of_all_depths_are_read() -> None:
    code = "from ...files import atomic\ndef f():\n    from ..base import x\n    from . import cuda"
    with pytest.raises(AssertionError, match="imports x, which is nowhere"):
        list(_relative_imports(Path("runtime/gpu/cuda.py"), ast.parse(code.replace("...", ".."))))
    code = (
        "def f():\n    from ..files.atomic import make_folder\n    from . import cuda_memory\n    from .. import files"
    )
    found = set(_relative_imports(Path("runtime/gpu/cuda.py"), ast.parse(code)))
    assert found == {
        Path("runtime/files/atomic.py"),
        Path("runtime/gpu/cuda_memory.py"),
        Path("runtime/files/__init__.py"),
    }


def test_pyproject_lists_all_packages() -> None:
    assert sorted(_project()["tool"]["setuptools"]["packages"]) == sorted(set(PACKAGES) - NOT_IN_THE_WHEEL)


def test_every_folder_with_modules_is_a_package() -> None:
    assert {path.parent for path in MODULES} == {path.parent for path in MODULES if path.name == "__init__.py"}


def test_no_loose_modules_at_the_root() -> None:
    assert [path.name for path in ROOT.glob("*.py")] == ["__init__.py"]


def test_folders_of_tests_are_no_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_all_imports_of_the_package_are_relative() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            assert "amcnet" not in {name.split(".")[0] for name in names}, f"{path} imports {names}"


def test_module_docstrings_name_what_the_file_holds() -> None:
    questions = ("What", "Which", "How", "Where", "When", "Why")
    for path in MODULES:
        docstring = ast.get_docstring(ast.parse((ROOT / path).read_text()))
        assert docstring, f"{path} has no docstring"
        assert docstring.split()[0] not in questions, f"{path}: {docstring.splitlines()[0]}"


def test_imports_follow_the_order_of_folders() -> None:
    against = [
        f"{path} imports {imported}"
        for path, imports in GRAPH.items()
        if path.parts[0] in MAY_IMPORT
        for imported in sorted(imports)
        if imported.parts[0] in ORDER and imported.parts[0] not in MAY_IMPORT[path.parts[0]]
    ]
    assert not against, "\n".join(against)


def test_there_are_no_circular_imports() -> None:
    try:
        graphlib.TopologicalSorter(GRAPH).prepare()
    except graphlib.CycleError as error:
        pytest.fail("a cycle of imports: " + " <- ".join(map(str, error.args[1])))


def test_nothing_imports_the_studies() -> None:
    studies = Path("benchmarks/studies")
    for path, imports in GRAPH.items():
        if studies not in path.parents:
            assert not [imported for imported in imports if studies in imported.parents], path


def test_onnx_runtime_sessions_are_opened_in_one_place() -> None:
    """With the same options: what is compared is what runs. Benchmarks measure the library with other options, too."""
    found = {path for path in MODULES if "InferenceSession(" in (ROOT / path).read_text()}
    place = Path("runtime/backends/onnxruntime_session.py")
    assert {path for path in found if path.parts[0] != "benchmarks"} == {place}


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


def _names(folders: list[str]) -> list[str]:
    """The modules of the wheel in these folders, those that start with an underscore left out."""
    names = [
        ".".join(["amcnet", *path.with_suffix("").parts]).removesuffix(".__init__")
        for path in MODULES
        if (path.parts[0] in folders and not path.stem.startswith("_")) or path.name == "__init__.py"
    ]
    return [name for name in names if not any(name.startswith(package) for package in NOT_IN_THE_WHEEL)]


def test_the_runtime_imports_without_optional_packages() -> None:
    names = [name for name in _names(["runtime"]) if name.split(".")[1:2] in ([], ["runtime"])]
    _import_with_blocked(
        names, ["torch", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "safetensors", "PIL", "matplotlib"]
    )


def test_all_modules_import_without_inference_libraries() -> None:
    _import_with_blocked(_names(ORDER), ["onnxruntime", "tensorrt", "cuda", "openvino", "PIL"])


def test_importing_amcnet_loads_nothing_heavy() -> None:
    code = (
        "import amcnet, sys; assert 'open_frames' in dir(amcnet); "
        "print(sorted({'numpy', 'cv2', 'av', 'torch', 'tqdm'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


COMMANDS = sorted(path for path in MODULES if path.stem in ("cli", "check_cli"))


def test_command_modules_equal_the_installed_scripts() -> None:
    modules = {script.partition(":")[0] for script in _project()["project"]["scripts"].values()}
    assert {".".join(["amcnet", *path.with_suffix("").parts]) for path in COMMANDS} == modules


@pytest.mark.parametrize("path", COMMANDS, ids=str)
def test_functions_of_commands_are_short(path: Path) -> None:
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 40, f"{path}: {node.name}"


def test_each_command_is_installed_and_helps() -> None:
    scripts = _project()["project"]["scripts"]
    assert {"amc-infer", "amc-eval", "export-onnx"} <= set(scripts)
    for script in scripts:
        path = Path(sys.executable).parent / script
        result = subprocess.run([path, "--help"], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert "examples:" in result.stdout, f"{script} --help shows no example"


PUBLIC = {
    "amcnet": "AmcNetError BackendError BuildOptions CheckpointError EngineError Frame InputError MaskFrame "
    "ModelFileError OutputError SegmentVideos Segmenter __version__ build_engine calibrate evaluate export_amcnet "
    "export_pipeline export_pwcnet export_raft load_raft open_frames open_writer",
    "amcnet.models": "AMCNet AMCNetConfig AMCNetDetails AMCNetOutput PWCNet RAFT RAFTConfig load_amcnet load_pwcnet "
    "load_raft seed_weights",
    "amcnet.export": "ExportOptions Exported OnnxFile Preprocessing Seed export_amcnet export_pipeline export_pwcnet "
    "export_raft",
    "amcnet.calibration": "Calibrated Calibration CalibrationTable Quantized calibrate calibrate_on_batches quantize",
    "amcnet.benchmarks": "Evaluation Stability evaluate temporal_stability video_stability",
}


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names(package: str) -> None:
    module = __import__(package, fromlist=["__all__"])
    assert sorted(module.__all__) == sorted(PUBLIC[package].split())
    for name in module.__all__:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("name", amcnet._MODULES)
def test_a_public_name_has_an_example_and_names_its_errors(name: str) -> None:
    public = getattr(amcnet, name)
    assert callable(public), "a module of the same name would take its place"
    documents = [public.__doc__, *(getattr(public, method).__doc__ for method in ("load",) if hasattr(public, method))]
    text = "\n".join(documents)
    assert f"{name}(" in text or f"{name}." in text, "no example"
    if inspect.isfunction(public):
        assert "Raises" in text
