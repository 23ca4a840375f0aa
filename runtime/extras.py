"""Optional dependencies: the extra that installs each, and the error for a missing one."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import BackendError

# Module -> display name, and the extra that installs it unless the caller names another.
_PACKAGES = {
    "torch": ("PyTorch", "export"),
    "onnx": ("ONNX", "export"),
    "onnx_ir": ("ONNX IR", "export"),
    "onnxscript": ("ONNX Script", "export"),
    "safetensors": ("Safetensors", "export"),
    "matplotlib": ("Matplotlib", "train"),
    "PIL": ("Pillow", "test"),
    "gradio": ("Gradio", "demo"),
    "onnxruntime": ("ONNX Runtime", "cpu"),
    "openvino": ("OpenVINO", "openvino"),
    "fsspec": ("fsspec", "cloud"),
    "ray": ("Ray", "ray"),
    "pydensecrf": ("pydensecrf2", "crf"),
    "tensorrt": ("TensorRT", "tensorrt"),
    "tensorrt_rtx": ("TensorRT-RTX", "rtx"),
}


def is_installed(module: str) -> bool:
    """Return whether `module` can be found, without importing it (only its parent packages are imported)."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False
    except ValueError:  # imported, but without a spec (a stand-in of a test)
        return True


def require(user: str, *modules: str, extra: str | None = None) -> None:
    """Raise BackendError for the first of `modules` that is not installed.

    user: the command or feature that needs the modules; the message begins with it. extra: the extra to name in the
    message; default: the usual one of the module.
    """
    for module in modules:
        if not is_installed(module):
            raise _missing(user, module, extra)


@contextmanager
def needed_by(user: str) -> Iterator[None]:
    """Context manager: an import of a missing optional dependency in the block raises BackendError.

    user: the command or feature that needs the import; the message begins with it. A ModuleNotFoundError of any other
    module passes.
    """
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
