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
from .lanes import Lanes
from .onnxruntime_binding import DeviceBinding

_CUDA = "CUDAExecutionProvider"
_PROVIDERS: dict[str, list[Any]] = {
    "cpu": ["CPUExecutionProvider"],
    # TF32, which it would take by itself, has FP16's ten bits: precision is what the file says.
    "cuda": [(_CUDA, {"use_tf32": "0"}), "CPUExecutionProvider"],
}


class OnnxRuntimeBackend(Closes):
    """ONNX Runtime on the CPU, or on an NVIDIA GPU."""

    def __init__(self, file: OnnxFile, threads: int, device: str = "cpu") -> None:
        """Load `file`, an AMC-Net or a PWC-Net, to compute with this many `threads` in each call of `run`.

        `device` is "cpu" or "cuda". `run` may be called from several threads at once. Raises BackendError, also where
        the GPU was asked for and not got, or ModelFileError for other inputs or outputs.
        """
        onnxruntime = _import_onnxruntime()
        if device == "cuda":
            _require_cuda(onnxruntime)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Idle threads of the pool would otherwise spin, on the cores that decode and encode in the meantime.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(file.path, options, providers=_PROVIDERS[device])
        except Exception as error:  # the library's exceptions have no common class of their own
            raise BackendError(
                f"ONNX Runtime {onnxruntime.__version__} refuses {file.path}: {in_one_line(error)}; "
                "export the file again with export-onnx, or install a newer onnxruntime"
            ) from error
        if device == "cuda" and _CUDA not in self._session.get_providers():
            raise BackendError(
                f"ONNX Runtime {onnxruntime.__version__} was asked for the GPU and took the CPU: the NVIDIA driver, "
                "CUDA or cuDNN is missing or too old; expected all three. Install the libraries: "
                "pip install 'amcnet[gpu]'; amc-check says what this machine has"
            )
        self._file = file
        self._lanes = Lanes(lambda: DeviceBinding(onnxruntime, self._session, "cuda")) if device == "cuda" else None
        inputs = [value.name for value in self._session.get_inputs()]
        self._outputs = [value.name for value in self._session.get_outputs()]
        check_contract(file, inputs, self._outputs)
        where = "CUDA" if device == "cuda" else f"CPU, {threads} thread{'s' if threads > 1 else ''} a frame"
        self.name = f"ONNX Runtime {onnxruntime.__version__}, {where}"

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        if self._session is None:
            raise ValueError(f"{self._file.path} is closed; run it inside the `with` block that opened it")
        try:
            results = self._compute(inputs)
        except Exception as error:
            shapes = ", ".join(f"{name} {value.dtype} {value.shape}" for name, value in inputs.items())
            raise ModelFileError(
                f"{self._file.path} cannot be run on {shapes}: {in_one_line(error)}; export it again with export-onnx"
            ) from error
        outputs = dict(zip(self._outputs, results, strict=True))
        check_finite(self._file, outputs)
        return outputs

    def close(self) -> None:
        if self._lanes is not None:
            self._lanes.close()
        self._session = None

    def _compute(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        if self._lanes is None:
            results: list[NDArray[np.float32]] = self._session.run(self._outputs, dict(inputs))
            return results
        with self._lanes.take() as binding:
            return binding.run(inputs, self._outputs)


def _require_cuda(onnxruntime: Any) -> None:
    """BackendError for a build without CUDA; else load the CUDA and cuDNN libraries that pip has installed, if any."""
    if _CUDA not in onnxruntime.get_available_providers():
        raise BackendError(
            f"ONNX Runtime {onnxruntime.__version__} is the one for CPUs, and the GPU was asked for; replace it: "
            "pip uninstall -y onnxruntime && pip install 'amcnet[gpu]'; or leave out --device cuda"
        )
    onnxruntime.preload_dlls()


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
