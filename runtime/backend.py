"""What runs a network. One small protocol, so that the rest does not know which library does it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from .. import BackendError, ModelFileError
from ..export.onnx_file import OnnxFile
from .closes import Closes


class Backend(Protocol):
    """Runs one network; a context manager that owns what it holds.

    `name` says for the report what computes, with its version and threads.
    """

    name: str

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """All outputs by name. Raises ModelFileError for inputs that do not fit, or outputs that are not finite."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


# What a network's file takes and gives; more outputs (attention maps) are welcome.
_CONTRACT = {"amcnet": ({"image", "flow_image"}, "mask"), "pwcnet": ({"frame", "next_frame"}, "flow")}


class OnnxRuntimeBackend(Closes):
    """ONNX Runtime on the CPU."""

    def __init__(self, file: OnnxFile, threads: int) -> None:
        """Load `file`, an AMC-Net or a PWC-Net, to compute with this many `threads` in each call of `run`.

        `run` may be called from several threads at once. Raises BackendError, or ModelFileError for other inputs or
        outputs.
        """
        onnxruntime = _import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Idle threads of the pool would otherwise spin, on the cores that decode and encode in the meantime.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(file.path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's exceptions have no common class of their own
            raise BackendError(
                f"ONNX Runtime {onnxruntime.__version__} refuses {file.path}: {_in_one_line(error)}; "
                "export the file again with export-onnx, or install a newer onnxruntime"
            ) from error
        self._file = file
        inputs = [value.name for value in self._session.get_inputs()]
        self._outputs = [value.name for value in self._session.get_outputs()]
        wanted_inputs, wanted_output = _CONTRACT[file.network]
        if set(inputs) != wanted_inputs or wanted_output not in self._outputs:
            raise ModelFileError(
                f"{file.path} takes {', '.join(inputs)} and gives {', '.join(self._outputs)}; expected a file that "
                f"takes {', '.join(sorted(wanted_inputs))} and gives {wanted_output}: export it again with export-onnx"
            )
        self.name = f"ONNX Runtime {onnxruntime.__version__}, CPU, {threads} thread{'s' if threads > 1 else ''} a frame"

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        if self._session is None:
            raise ValueError(f"{self._file.path} is closed; run it inside the `with` block that opened it")
        try:
            results = self._session.run(self._outputs, dict(inputs))
        except Exception as error:
            shapes = ", ".join(f"{name} {value.dtype} {value.shape}" for name, value in inputs.items())
            raise ModelFileError(
                f"{self._file.path} cannot be run on {shapes}: {_in_one_line(error)}; export it again with export-onnx"
            ) from error
        for name, result in zip(self._outputs, results, strict=True):
            if not np.isfinite(result).all():
                raise ModelFileError(
                    f"{self._file.path}: the output {name!r} has values that are not finite (NaN or infinite); "
                    "expected numbers. The weights or the precision are at fault: export it again from its checkpoint"
                )
        return dict(zip(self._outputs, results, strict=True))

    def close(self) -> None:
        self._session = None


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def available_cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _import_onnxruntime() -> Any:
    """The module, if at most one of its two packages is installed: together they overwrite each other's files."""
    installed = []
    for package in ("onnxruntime", "onnxruntime-gpu"):
        try:
            installed.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    if len(installed) == 2:
        raise BackendError(
            f"{installed[0]} and {installed[1]} are both installed and overwrite each other's files; expected one of "
            "them. Remove both and install the one you want: pip uninstall -y onnxruntime onnxruntime-gpu && "
            "pip install 'amcnet[cpu]'"
        )
    try:
        # Asked for itself, not by its package's name: makers of other devices ship it under names of their own.
        import onnxruntime
    except ImportError as error:
        if installed:
            raise BackendError(
                f"{installed[0]} is installed but cannot be imported ({error}); install it anew: "
                f"pip install --force-reinstall {installed[0].split()[0]}"
            ) from error
        raise BackendError(
            "neither onnxruntime nor onnxruntime-gpu is installed; expected one of them to run the network. "
            "Without an NVIDIA GPU: pip install 'amcnet[cpu]'; with one: pip install 'amcnet[gpu]'"
        ) from error
    return onnxruntime
