"""Optional dependencies: the extra that installs each, and the error for one that is not installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import BackendError

# Module -> the package's name, and the extra that installs it where the caller names no other.
_PACKAGES = {
    "torch": ("PyTorch", "export"),
    "onnx": ("ONNX", "export"),
    "onnx_ir": ("ONNX IR", "export"),
    "onnxscript": ("ONNX Script", "export"),
    "safetensors": ("Safetensors", "export"),
    "matplotlib": ("Matplotlib", "train"),
    "PIL": ("Pillow", "test"),
    "onnxruntime": ("ONNX Runtime", "cpu"),
    "openvino": ("OpenVINO", "openvino"),
    "pydensecrf": ("pydensecrf2", "crf"),
    "tensorrt": ("TensorRT", "tensorrt"),
    "tensorrt_rtx": ("TensorRT-RTX", "rtx"),
}


def is_installed(module: str) -> bool:
    """Whether `module` can be found; nothing is imported but the packages that it lies in."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a package that it lies in
        return False
    except ValueError:  # imported already, and made by hand
        return True


def require(user: str, *modules: str, extra: str | None = None) -> None:
    """BackendError, which says that `user` needs it, for the first of `modules` that is not installed."""
    for module in modules:
        if not is_installed(module):
            raise _missing(user, module, extra)


@contextmanager
def needed_by(user: str) -> Iterator[None]:
    """BackendError for an optional dependency whose import fails in the block because it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in _PACKAGES:
            raise
        raise _missing(user, module) from error


def _missing(user: str, module: str, extra: str | None = None) -> BackendError:
    package, usual = _PACKAGES[module]
    fix = f"pip install 'amcnet[{extra or usual}]'"
    if module == "onnxruntime":
        fix += "; with an NVIDIA GPU: pip install 'amcnet[gpu]'"
    return BackendError(f"{user} needs {package}, which is not installed. Fix: {fix}")
