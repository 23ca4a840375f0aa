"""State of the whole process (settings of libraries, warning filters, signal handlers) is changed in few places only.

Each of them restores it, or runs in a process of its own. A library must not change what its caller's other code does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(path for init in ROOT.glob("*/__init__.py") for path in init.parent.rglob("*.py"))
# The last part of a call's name -> the files that may call it.
SETTERS: dict[str, set[str]] = {
    # OpenCV: given as values to SharedSetting, never called
    "setNumThreads": set(),
    "setLogLevel": set(),
    "setUseOptimized": set(),
    "setRNGSeed": set(),
    # PyTorch
    "set_num_threads": {"models/torch_threads.py"},
    "set_num_interop_threads": set(),
    "set_default_dtype": set(),
    "set_default_device": set(),
    "set_float32_matmul_precision": set(),
    "set_grad_enabled": set(),
    "use_deterministic_algorithms": set(),
    "set_start_method": set(),
    # ONNX Runtime
    "set_default_logger_severity": {"runtime/backends/onnxruntime_session.py"},
    "set_default_logger_verbosity": set(),
    # Python
    "filterwarnings": set(),
    "simplefilter": {"export/onnx_model.py"},
    "basicConfig": set(),
    "captureWarnings": set(),
    "disable": set(),
    "setLevel": {"export/onnx_model.py"},
    "signal": {
        "runtime/interrupt.py",
        "engines/build_process.py",
        "training/gradient.py",
        "runtime/batch/worker.py",
        "benchmarks/latency/time_limit.py",
    },
    "dup2": {"engines/build_process.py", "runtime/command.py", "runtime/interrupt.py"},
    "chdir": {"runtime/batch/ray_workers.py"},
    "umask": set(),
    "putenv": set(),
    "setdefaulttimeout": set(),
    "setrecursionlimit": set(),
    "setlocale": set(),
    "seterr": set(),
    "set_printoptions": set(),
    "set_level": set(),  # av.logging
}
# Commands that are the whole process: studies with an empty cache, and the server, whose library is set by variables.
ENVIRONMENT_SETTERS = {"benchmarks/studies/bf16.py", "benchmarks/studies/pwcnet_openvino.py", "runtime/demo/server.py"}
# Functions of these modules draw from, or seed, one generator for all.
GLOBAL_RANDOM = ("random.", "np.random.", "torch.manual_seed", "torch.seed", "torch.cuda.manual_seed")
OWN_RANDOM = ("np.random.default_rng", "np.random.Generator", "np.random.SeedSequence", "random.Random")


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield _name(node.func)


def _targets(path: Path) -> Iterator[str]:
    """What assignments write to, without subscripts."""
    for node in ast.walk(ast.parse(path.read_text())):
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            if isinstance(target, ast.Subscript):
                target = target.value
            if isinstance(target, ast.expr):
                yield _name(target)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_few_files_change_the_process(path: Path) -> None:
    file = str(path.relative_to(ROOT))
    for call in _calls(path):
        setter = call.rpartition(".")[2]
        assert setter not in SETTERS or file in SETTERS[setter], f"{file} calls {call} for the whole process"
        drawn = call.startswith(GLOBAL_RANDOM) and not call.startswith(OWN_RANDOM)
        assert not drawn, f"{file} calls {call}, whose generator belongs to the whole process"
    for target in _targets(path):
        assert not target.startswith(("sys.path", "torch.backends.", "warnings.", "sys.std")), file
        assert not target.startswith("os.environ") or file in ENVIRONMENT_SETTERS, file
