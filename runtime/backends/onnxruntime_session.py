"""Sessions of ONNX Runtime, on the CPU, or on an NVIDIA GPU and nowhere else."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..errors import BackendError
from ..extras import require
from ..shared_setting import SharedSetting
from .base import in_one_line

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_WARNING, _FATAL = 2, 4  # severities: the library begins with the first, and no function of it reads the current one
_severity = _WARNING
# It rounds to int8 what a file has in float between int8 tensors (calibration/float_guard.py). What is measured is what
# runs: neither the comparison with the FP32 file nor the runtime has it.
_NOT_AS_WRITTEN = ["WeightBiasQuantization"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Session:
    """An open one, with the library's module; `records`: its kernels become a CUDA graph."""

    library: Any
    session: Any
    records: bool


def open_session(
    model: Path | bytes, threads: int | None = None, device: str = "cpu", *, in_order: bool = False
) -> Session:
    """Load `model`, a file or its content, for "cpu" or "cuda"; all sessions of this package are opened here.

    threads: in each call on the CPU, None for one on each core. in_order: run the nodes in the order of the file. By
    default those that only feed an output come last: a file with an output for each of its tensors could free none of
    them until then. Raises BackendError, also where the GPU was asked for and not got.
    """
    onnxruntime = _import_onnxruntime()
    if device == "cuda":
        _require_cuda(onnxruntime)
    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    if in_order:
        options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    # Idle threads of the pool would otherwise spin, on the cores that decode and encode in the meantime.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # CPUs without VNNI would add int8 products up in 16 bits, which overflow: the light network in int8 had a mask IoU
    # of 0.87, not 0.97. Others take no notice.
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3
    try:
        with quiet_onnxruntime if device == "cuda" else nullcontext():
            session, records = _open(onnxruntime, model, options, device)
    except Exception as error:  # the library's exceptions have no common class of their own
        raise BackendError(
            f"ONNX Runtime {onnxruntime.__version__} refuses {model if isinstance(model, Path) else 'the model'}: "
            f"{in_one_line(error)}; export the file again with export-onnx, or install a newer onnxruntime"
        ) from error
    if device == "cuda" and _CUDA not in session.get_providers():
        raise BackendError(
            f"ONNX Runtime {onnxruntime.__version__} was asked for the GPU and took the CPU: the NVIDIA driver, "
            "CUDA or cuDNN is missing or too old; expected all three. Install the libraries: "
            "pip install 'amcnet[gpu]'; amc-check says what this machine has"
        )
    return Session(library=onnxruntime, session=session, records=records)


def _set_severity(severity: int) -> None:
    global _severity
    _import_onnxruntime().set_default_logger_severity(severity)
    _severity = severity


# For a session on the GPU, while it opens and at its first run: where cuDNN has no kernel for a fused form, the library
# logs an error and takes another form. What cannot be run is an exception all the same.
quiet_onnxruntime = SharedSetting(lambda: _severity, _set_severity, _FATAL)


def _open(onnxruntime: Any, model: Path | bytes, options: Any, device: str) -> tuple[Any, bool]:
    """The session, and whether it records a CUDA graph: not where a part of the network runs on the CPU."""
    records = device == "cuda"

    def session(records: bool) -> Any:
        return onnxruntime.InferenceSession(
            model, options, providers=_providers(device, records), disabled_optimizers=_NOT_AS_WRITTEN
        )

    try:
        return session(records), records
    except Exception:
        if not records:
            raise
        return session(False), False


def _providers(device: str, records: bool) -> list[Any]:
    """`records`: the hundreds of kernels of a network are recorded as a graph, and launched by one call.

    TF32, which the library would take by itself, has FP16's ten bits: precision is what the file says.
    """
    cuda = (_CUDA, {"use_tf32": "0", "enable_cuda_graph": str(int(records))})
    return [cuda, _CPU] if device == "cuda" else [_CPU]


def _require_cuda(onnxruntime: Any) -> None:
    """BackendError for a build without CUDA; else load CUDA's and cuDNN's libraries, if pip has installed them."""
    if _CUDA not in onnxruntime.get_available_providers():
        raise BackendError(
            f"ONNX Runtime {onnxruntime.__version__} is the one for CPUs, and the GPU was asked for; replace it: "
            "pip uninstall -y onnxruntime && pip install 'amcnet[gpu]'; or leave out --device cuda"
        )
    onnxruntime.preload_dlls()


def require_onnxruntime() -> str | None:
    """Its package and version; None where its module comes in a package of another name. Imports nothing.

    Raises BackendError where there is none, or two, which overwrite each other's files.
    """
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
    # Looked for by itself, not by its package's name: makers of other devices ship it under names of their own.
    if not installed:
        require("running an ONNX file", "onnxruntime")
    return installed[0] if installed else None


def _import_onnxruntime() -> Any:
    installed = require_onnxruntime()
    try:
        import onnxruntime
    except ImportError as error:
        package = installed or "onnxruntime"
        raise BackendError(
            f"{package} is installed but cannot be imported ({error}); install it anew: "
            f"pip install --force-reinstall {package.split()[0]}"
        ) from error
    return onnxruntime
