"""TensorRT names used by this package exist in the real bindings of each version."""

from __future__ import annotations

import ast
import functools
import json
import re
import shutil
import subprocess
import sys
import types
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from amcnet.engines import build_progress, parsed_layers, tensorrt8_builder, tensorrt_builder, timing_cache
from amcnet.engines.tensorrt_builder import Settings, build_plan, check
from amcnet.runtime.errors import BackendError, EngineError
from amcnet.runtime.trt import api
from amcnet.runtime.trt.api import RTX_COMPUTE_CAPABILITIES

USERS = (tensorrt_builder, tensorrt8_builder, parsed_layers, build_progress, timing_cache, api)
SOURCE = "\n".join(Path(str(module.__file__)).read_text() for module in USERS)
TENSORRT_8 = "8.6.1"
VERSIONS = ("10.16.1.11", "11.4.0.106")
LIBRARIES = ("trt", "plain", "v8", "v10", "rtx")
# Symbols that the bindings need from the libraries that are not in the wheels; the last is one of TensorRT 8 alone.
SYMBOLS = {
    "nvinfer": "createInferBuilder_INTERNAL createInferRefitter_INTERNAL createInferRuntime_INTERNAL "
    "getBuilderPluginRegistry getPluginRegistry",
    "nvinfer_plugin": "initLibNvInferPlugins",
    "nvonnxparser": "createNvOnnxParserRefitter_INTERNAL createNvOnnxParser_INTERNAL getNvOnnxParserVersion",
    "nvparsers": "_ZN11nvuffparser15createUffParserEv _ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi "
    "_ZN14nvcaffeparser117createCaffeParserEv _ZN14nvcaffeparser123shutdownProtobufLibraryEv",
}
PLAIN = Settings(
    flavor="tensorrt",
    shapes={},
    compute_capability=(),
    timing_cache=None,
    version_compatible=False,
    hardware_compatible=False,
    workspace_mib=None,
    optimization_level=None,
)


class Names(ast.NodeVisitor):
    """Collects the dotted names used in a source on the variables of LIBRARIES, and on variables of their types."""

    def __init__(self, source: str) -> None:
        self.found: set[tuple[str, str]] = set()  # (one of LIBRARIES, name)
        self.types: dict[str, tuple[str, str]] = {}
        self.variables: list[dict[str, tuple[str, str]]] = [{}]
        self.visit(ast.parse(source))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if node.module in ("tensorrt", "tensorrt_rtx"):
                own = "rtx" if node.module == "tensorrt_rtx" else "trt"
                if own == "trt" and alias.asname:  # PlainRuntime, V8ParserError
                    own = next(name for name in ("plain", "v8", "v10") if alias.asname.lower().startswith(name))
                self.types[alias.asname or alias.name] = (own, alias.name)
                self.found.add((own, alias.name))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.variables.append({})
        for argument in node.args.args:
            self._annotate(argument.arg, argument.annotation)
        self.generic_visit(node)
        self.variables.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._annotate(node.target.id, node.annotation)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        # builder = trt.Builder(...), and v8 = library
        if isinstance(node.value, ast.Name) and isinstance(node.targets[0], ast.Name):
            return
        made = self._resolve(node.value.func) if isinstance(node.value, ast.Call) else None
        if made is not None and "." not in made[1] and isinstance(node.targets[0], ast.Name):
            self.variables[-1][node.targets[0].id] = made
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = self._resolve(node)
        if name is not None and not name[1].endswith("__"):
            self.found.add(name)
        self.generic_visit(node)

    def _annotate(self, variable: str, annotation: ast.expr | None) -> None:
        for node in ast.walk(annotation) if annotation is not None else ():
            if isinstance(node, ast.Name) and node.id in self.types:
                self.variables[-1][variable] = self.types[node.id]

    def _resolve(self, node: ast.expr) -> tuple[str, str] | None:
        """(trt, "BuilderFlag.TF32") for `trt.BuilderFlag.TF32`, (trt, "ITensor.shape") for `output.shape`."""
        if isinstance(node, ast.Name):
            known = next((scope[node.id] for scope in reversed(self.variables) if node.id in scope), None)
            return known or ((node.id, "") if node.id in LIBRARIES else None)
        if isinstance(node, ast.Attribute):
            owner = self._resolve(node.value)
            # Beyond Class.attribute the types are unknown.
            if owner is not None and owner[1].count(".") == 0:
                return owner[0], f"{owner[1]}.{node.attr}".lstrip(".")
        return None


def _used(*owners: str, source: str = SOURCE) -> list[str]:
    return sorted({name for owner, name in Names(source).found if owner in owners})


def _missing(names: list[str], module: str, *, path: Path | None = None, libraries: Path | None = None) -> list[str]:
    """Return those of `names` that the module lacks, looked up in a separate process."""
    code = """
import functools, importlib, json, sys
module = importlib.import_module(sys.argv[1])
def has(name):
    try:
        functools.reduce(getattr, name.split("."), module)
    except AttributeError:
        return False
    return True
print(json.dumps([name for name in json.load(sys.stdin) if not has(name)]))
"""
    result = subprocess.run(
        [sys.executable, "-c", code, module],
        input=json.dumps(names),
        env={"PYTHONPATH": str(path or ""), "LD_LIBRARY_PATH": str(libraries or "")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    missing: list[str] = json.loads(result.stdout)
    return missing


@pytest.fixture(scope="module")
def missing_in(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`missing_in(version, names)`: the names missing in the real bindings of that TensorRT version."""
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("no gcc to build the libraries that the bindings need")

    @functools.cache
    def bindings(version: str) -> tuple[Path, Path]:
        folder = tmp_path_factory.mktemp(f"tensorrt-{version}")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "0", "--timeout", "10"]
        name = "tensorrt_bindings" if version == TENSORRT_8 else "tensorrt_cu13_bindings"
        wheel = [f"{name}=={version}", "--only-binary", ":all:", "--dest", str(folder)]
        result = subprocess.run([*pip, *wheel], capture_output=True, text=True, check=False, timeout=120)
        if result.returncode != 0:
            pytest.skip(f"pip cannot fetch {name} {version}: {result.stderr.strip()[-200:]}")
        zipfile.ZipFile(next(folder.glob("*.whl"))).extractall(folder)
        libraries = folder / "libraries"
        libraries.mkdir()
        for library, symbols in SYMBOLS.items():
            source = "".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in symbols.split())
            target = libraries / f"lib{library}.so.{version.split('.')[0]}"
            subprocess.run([gcc, "-shared", "-fPIC", "-x", "c", "-", "-o", target], input=source, text=True, check=True)
        return folder, libraries

    def missing(version: str, names: list[str]) -> list[str]:
        folder, libraries = bindings(version)
        return _missing(names, "tensorrt_bindings", path=folder, libraries=libraries)

    return missing


def test_the_names_in_use_are_collected() -> None:
    assert {"BuilderFlag.TF32", "Builder.create_network", "OnnxParser.get_error", "ParserError.desc"} <= set(
        _used("trt")
    )
    assert {"IMatrixMultiplyLayer.op0", "ITensor.dtype", "ILayer.metadata"} <= set(_used("trt"))
    assert "IBuilderConfig.set_timing_cache" in _used("plain")
    assert {
        "IBuilderConfig.progress_monitor",
        "IProgressMonitor",
        "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
        "ParserError.node_name",
    } <= set(_used("v10"))
    assert {
        "BuilderFlag.FP16",
        "BuilderFlag.INT8",
        "BuilderFlag.OBEY_PRECISION_CONSTRAINTS",
        "ILayer.precision",
        "ILayer.set_output_type",
        "NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
        "ParserError.node",
    } <= set(_used("v8"))
    assert {
        "Runtime.deserialize_cuda_engine",
        "ICudaEngine.num_io_tensors",
        "IExecutionContext.set_tensor_address",
    } <= (set(_used("trt")))
    assert {"EngineInspector.get_engine_information", "TensorIOMode.INPUT", "ILogger.WARNING"} <= set(_used("trt"))
    assert "Runtime.engine_host_code_allowed" in _used("plain")
    assert _used("rtx") == [
        "ComputeCapability",
        "IBuilderConfig",
        "IBuilderConfig.num_compute_capabilities",
        "IBuilderConfig.set_compute_capability",
        "IExecutionContext",
        "IExecutionContext.is_stream_capturable",
    ]


def test_nothing_else_in_the_package_uses_tensorrt() -> None:
    root = Path(tensorrt_builder.__file__).parents[1]
    for path in root.rglob("*.py"):
        outside = {part for part in path.relative_to(root).parts if part == "tests" or part.startswith(".")}
        if not outside and path.name not in {Path(str(module.__file__)).name for module in USERS}:
            assert not re.search(r"import tensorrt(_rtx)?\b|from tensorrt(_rtx)? ", path.read_text()), path


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_exists_in_tensorrt(version: str, missing_in: Any) -> None:
    assert missing_in(version, _used("trt", "plain", "v10")) == []


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the bindings of TensorRT 8.6.1 end with Python 3.11")
def test_every_name_exists_in_tensorrt_8(missing_in: Any) -> None:
    assert missing_in(TENSORRT_8, _used("trt", "plain", "v8")) == []
    later = {"IProgressMonitor", "NetworkDefinitionCreationFlag.STRONGLY_TYPED", "ParserError.node_name"}
    assert later <= set(missing_in(TENSORRT_8, _used("v10"))), "why `v10` is kept apart"
    assert set(missing_in("11.4.0.106", _used("v8"))) >= {"BuilderFlag.FP16", "ILayer.precision"}, "and `v8`"


def test_a_name_removed_in_tensorrt_11_would_be_found(missing_in: Any) -> None:
    names = _used("trt", source="def f(trt):\n    config.set_flag(trt.BuilderFlag.FP16)\n")
    assert missing_in("10.16.1.11", names) == []
    assert missing_in("11.4.0.106", names) == ["BuilderFlag.FP16"]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_progress_monitor_has_the_librarys_methods(version: str, missing_in: Any) -> None:
    own = next(n for n in ast.walk(ast.parse(SOURCE)) if isinstance(n, ast.ClassDef) and n.name == "Monitor")
    methods = {node.name for node in own.body if isinstance(node, ast.FunctionDef)} - {"__init__", "report"}
    assert methods == {"phase_start", "step_complete", "phase_finish"}
    assert missing_in(version, [f"IProgressMonitor.{name}" for name in methods]) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_logger_has_the_librarys_method(version: str, missing_in: Any) -> None:
    own = next(n for n in ast.walk(ast.parse(SOURCE)) if isinstance(n, ast.ClassDef) and n.name == "Logger")
    methods = [node.name for node in own.body if isinstance(node, ast.FunctionDef) and node.name != "__init__"]
    assert methods == ["log"]
    assert missing_in(version, ["ILogger.log"]) == []


def test_every_name_exists_in_tensorrt_rtx() -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install 'amcnet[rtx]'")
    members = [f"ComputeCapability.SM{target.replace('.', '')}" for target in RTX_COMPUTE_CAPABILITIES]
    assert _missing([*_used("trt", "v10", "rtx"), *members], "tensorrt_rtx") == []


def test_a_rejected_plan_is_reported_with_the_messages_of_the_library() -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install 'amcnet[rtx]'")
    code = """
from amcnet.runtime.trt.api import load_plan
try:
    load_plan("tensorrt-rtx", b"no plan" * 99, version_compatible=False)
except Exception as error:
    print(repr(error))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("EngineError(")
    assert "Error Code" in result.stdout, "the message of the real library, with and without a GPU"


class FakeCache:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self) -> bytes:
        return b"cache of this GPU"


class FakeConfig:
    def __init__(self) -> None:
        self.done: list[Any] = []
        self.cache: FakeCache | None = None

    def create_timing_cache(self, data: bytes) -> FakeCache | None:
        return None if data == b"damaged" else FakeCache(data)

    def set_timing_cache(self, cache: FakeCache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.cache = cache
        return cache.data != b"of another GPU"

    def get_timing_cache(self) -> FakeCache | None:
        return self.cache

    def set_flag(self, flag: str) -> None:
        self.done.append(flag)

    def clear_flag(self, flag: str) -> None:
        self.done.append(f"no {flag}")

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.done.append((pool, size))


class FakeTensorRT(types.ModuleType):
    """Stand-in of TensorRT for the build of an empty network, recording the options it receives."""

    def __init__(self, version: str) -> None:
        super().__init__("tensorrt")
        self.__version__ = version
        self.network_flags = -1
        self.config = FakeConfig()
        flags = {"EXPLICIT_BATCH": 0} if version == TENSORRT_8 else {"STRONGLY_TYPED": 1}
        self.NetworkDefinitionCreationFlag = types.SimpleNamespace(**flags)
        self.BuilderFlag = types.SimpleNamespace(TF32="TF32", VERSION_COMPATIBLE="VERSION_COMPATIBLE")
        self.HardwareCompatibilityLevel = types.SimpleNamespace(AMPERE_PLUS="AMPERE_PLUS")
        self.ProfilingVerbosity = types.SimpleNamespace(DETAILED="DETAILED")
        self.MemoryPoolType = types.SimpleNamespace(WORKSPACE="WORKSPACE")
        self.IProgressMonitor = object
        logger = type("Logger", (), {"INFO": 0, "__init__": lambda self, level: None})
        self.Logger = logger
        self.Builder = lambda logger: types.SimpleNamespace(
            create_network=self._network,
            create_builder_config=lambda: self.config,
            build_serialized_network=lambda network, config: b"plan",
        )
        self.OnnxParser = lambda network, logger: types.SimpleNamespace(parse_from_file=lambda path: True)

    def _network(self, flags: int) -> Any:
        self.network_flags = flags
        return types.SimpleNamespace(num_inputs=0, num_outputs=0, num_layers=0)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(version: str) -> FakeTensorRT:
        module = FakeTensorRT(version)
        monkeypatch.setitem(sys.modules, "tensorrt", module)
        return module

    return install


@pytest.mark.parametrize(("version", "flags"), [("10.16.1.11", 1 << 1), ("11.4.0.106", 0)])
def test_strong_typing_is_requested_in_tensorrt_10_and_the_default_in_11(fake: Any, version: str, flags: int) -> None:
    trt = fake(version)
    plan = build_plan(Path("x.onnx"), PLAIN, print)
    assert plan is not None
    assert (bytes(plan.data), plan.version) == (b"plan", version)
    assert trt.network_flags == flags
    assert trt.config.done == ["no TF32"]


@pytest.mark.parametrize(
    ("flavor", "version", "message"),
    [
        ("tensorrt", "8.6.1", r"too old: got 8\.6\.1, expected 10 or later.*pip install.*or use --flavor tensorrt-8"),
        ("tensorrt", "9.3.0", r"too old: got 9\.3\.0, expected 10 or later.*pip install 'amcnet\[tensorrt\]'$"),
        ("tensorrt-8", "10.16.1.11", r"got 10\.16\.1\.11, expected 8\.6\.1.*'amcnet\[tensorrt8\]'"),
        ("tensorrt-8", "8.5.3.1", r"got 8\.5\.3\.1, expected 8\.6\.1"),
    ],
)
def test_another_version_than_that_of_the_flavor_is_refused(flavor: str, version: str, message: str, fake: Any) -> None:
    fake(version)
    with pytest.raises(BackendError, match=message):
        build_plan(Path("x.onnx"), replace(PLAIN, flavor=flavor), print)


@pytest.mark.parametrize(
    ("wheels", "installed"),
    [
        ({"tensorrt": "8.6.1"}, ["tensorrt-8"]),
        ({"tensorrt": "8.6.1.post1"}, ["tensorrt-8"]),
        ({"tensorrt-cu13": "10.16.1.11"}, ["tensorrt"]),
        ({"tensorrt-cu12": "10.13.0.35", "tensorrt": "10.13.0.35"}, ["tensorrt"]),
        ({}, ["tensorrt"]),  # a module without a wheel is taken for the newer
    ],
)
def test_the_installed_version_decides_which_flavor_is_installed(
    wheels: dict[str, str], installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name not in wheels:
            raise api.importlib.metadata.PackageNotFoundError
        return wheels[name]

    monkeypatch.setattr(api.importlib.metadata, "version", version)
    monkeypatch.setattr(api.importlib.util, "find_spec", lambda module: object() if module == "tensorrt" else None)
    assert [flavor for flavor in api.MODULES if api.is_installed(flavor)] == installed


def test_the_options_reach_tensorrt(fake: Any) -> None:
    trt = fake("11.4.0.106")
    settings = replace(PLAIN, version_compatible=True, hardware_compatible=True, workspace_mib=3, optimization_level=5)
    build_plan(Path("x.onnx"), settings, print)
    assert trt.config.done == ["no TF32", ("WORKSPACE", 3 << 20), "VERSION_COMPATIBLE"]
    assert trt.config.hardware_compatibility_level == "AMPERE_PLUS"
    assert trt.config.builder_optimization_level == 5


@pytest.mark.parametrize("content", [None, b"cache of this GPU", b"damaged", b"of another GPU"])
def test_a_damaged_timing_cache_is_replaced_with_a_note(fake: Any, tmp_path: Path, content: bytes | None) -> None:
    trt = fake("11.4.0.106")
    path = tmp_path / "folder" / "x.timing"
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    plan = build_plan(Path("x.onnx"), replace(PLAIN, timing_cache=path), print)
    assert plan is not None
    good = content in (None, b"cache of this GPU")
    assert [note[:23] for note in plan.notes] == ([] if good else ["the timing cache x.timi"])
    assert trt.config.cache.data == (content if good and content else b"")
    assert path.read_bytes() == b"cache of this GPU"


def test_a_timing_cache_that_cannot_be_written_is_a_note(fake: Any, tmp_path: Path) -> None:
    fake("11.4.0.106")
    (tmp_path / "file").write_text("")
    plan = build_plan(Path("x.onnx"), replace(PLAIN, timing_cache=tmp_path / "file" / "x.timing"), print)
    assert plan is not None
    assert [note[:31] for note in plan.notes] == ["the timing cache is not written"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            replace(PLAIN, compute_capability=("8.6",)),
            "TensorRT does not support --compute-capability: it builds for the GPU of this machine",
        ),
        (
            replace(PLAIN, flavor="tensorrt-8", compute_capability=("6.1",)),
            "TensorRT 8 does not support --compute-capability: it builds for the GPU of this machine",
        ),
        (
            replace(PLAIN, flavor="tensorrt-rtx", version_compatible=True),
            "TensorRT-RTX does not support --version-compatible",
        ),
        (
            replace(PLAIN, flavor="tensorrt-rtx", hardware_compatible=True),
            "TensorRT-RTX does not support --hardware-compatible",
        ),
        (
            replace(PLAIN, flavor="tensorrt-rtx", compute_capability=("9.0",)),
            r"--compute-capability: got 9\.0, expected one of 7\.5, 8\.0",
        ),
    ],
)
def test_options_that_a_flavor_lacks_are_refused(settings: Settings, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        check(settings)
