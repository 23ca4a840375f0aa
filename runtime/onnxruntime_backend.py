"""Networks in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import BackendError, ModelFileError
from ..export.onnx_file import OnnxFile
from .backend import check_contract, check_finite, in_one_line
from .closes import Closes


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
                f"ONNX Runtime {onnxruntime.__version__} refuses {file.path}: {in_one_line(error)}; "
                "export the file again with export-onnx, or install a newer onnxruntime"
            ) from error
        self._file = file
        inputs = [value.name for value in self._session.get_inputs()]
        self._outputs = [value.name for value in self._session.get_outputs()]
        check_contract(file, inputs, self._outputs)
        self.name = f"ONNX Runtime {onnxruntime.__version__}, CPU, {threads} thread{'s' if threads > 1 else ''} a frame"

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        if self._session is None:
            raise ValueError(f"{self._file.path} is closed; run it inside the `with` block that opened it")
        try:
            results = self._session.run(self._outputs, dict(inputs))
        except Exception as error:
            shapes = ", ".join(f"{name} {value.dtype} {value.shape}" for name, value in inputs.items())
            raise ModelFileError(
                f"{self._file.path} cannot be run on {shapes}: {in_one_line(error)}; export it again with export-onnx"
            ) from error
        outputs = dict(zip(self._outputs, results, strict=True))
        check_finite(self._file, outputs)
        return outputs

    def close(self) -> None:
        self._session = None


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
