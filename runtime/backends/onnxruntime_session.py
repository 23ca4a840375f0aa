"""Sessions of ONNX Runtime, on the CPU or on an NVIDIA GPU, without fallback from one to the other."""

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
_WARNING, _FATAL = 2, 4  # severities: the first is the default, and the library has no function to read the current one
_severity = _WARNING
# This optimizer rounds FP32 values between INT8 tensors to INT8 (calibration/float_guard.py). It is disabled in the
# runtime and in the comparison with the FP32 file, so that both run the same graph.
_NOT_AS_WRITTEN = ["WeightBiasQuantization"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Session:
    """An open session and the module of its library. records: whether its kernels are recorded as a CUDA graph."""

    library: Any
    session: Any
    records: bool


def open_session(
    model: Path | bytes,
    threads: int | None = None,
    device: str = "cpu",
    *,
    in_order: bool = False,
    bf16: bool = False,
) -> Session:
    """Load `model`, a file or its content, on "cpu" or "cuda". All sessions of this package are opened here.

    threads: in each call on the CPU; None for one per core. in_order: run the nodes in the order of the file. By
    default nodes whose result is only an output run last, so a file with an output per tensor keeps all in memory.
    bf16: FP32 matrix products on an Arm CPU in BF16; other processors ignore it.
    Raises BackendError, also if the GPU cannot be used.
    """
    onnxruntime = _import_onnxruntime()
    if device == "cuda":
        _require_cuda(onnxruntime)
    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    if in_order:
        options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    # By default idle threads of the pool spin, on cores that decode and encode at the same time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # CPUs without VNNI accumulate INT8 products in 16 bits, which overflow: the mask IoU of the light INT8 network is
    # 0.87 then, instead of 0.97. The option has no effect on other CPUs.
    options.add_session_config_entry("session.x64quantprecision", "1")
    if bf16:
        options.add_session_config_entry("mlas.enable_gemm_fastmath_arm64_bfloat16", "1")
    options.log_severity_level = 3
    try:
        with quiet_onnxruntime if device == "cuda" else nullcontext():
            session, records = _open(onnxruntime, model, options, device)
    except Exception as error:  # the library's exceptions have no common class
        raise BackendError(
            f"ONNX Runtime {onnxruntime.__version__} refuses {model if isinstance(model, Path) else 'the model'}: "
            f"{in_one_line(error)}. Fix: export the file again with export-onnx, or install a newer onnxruntime"
        ) from error
    if device == "cuda" and _CUDA not in session.get_providers():
        raise BackendError(
            f"ONNX Runtime {onnxruntime.__version__} fell back to the CPU: the NVIDIA driver, CUDA "
            "or cuDNN is missing or too old; expected all three. Fix: pip install 'amcnet[gpu]'; amc-check lists what "
            "this machine has"
        )
    return Session(library=onnxruntime, session=session, records=records)


def _set_severity(severity: int) -> None:
    global _severity
    _import_onnxruntime().set_default_logger_severity(severity)
    _severity = severity


# For a session on the GPU, while it opens and during its first run: if cuDNN has no kernel for a fused operator, the
# library logs an error and uses another kernel. Operators that cannot be run raise an exception in any case.
quiet_onnxruntime = SharedSetting(lambda: _severity, _set_severity, _FATAL)


def _open(onnxruntime: Any, model: Path | bytes, options: Any, device: str) -> tuple[Any, bool]:
    """Open the session with a CUDA graph if the whole network runs on the GPU, else without: (session, records)."""
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
    """Execution providers. records: record the hundreds of kernels of a network as a CUDA graph, launched by one call.

    TF32, the default of the library, has the 10-bit mantissa of FP16; precision is defined by the ONNX file.
    """
    cuda = (_CUDA, {"use_tf32": "0", "enable_cuda_graph": str(int(records))})
    return [cuda, _CPU] if device == "cuda" else [_CPU]


def _require_cuda(onnxruntime: Any) -> None:
    """Load the libraries of CUDA and cuDNN that pip has installed. Raises BackendError for a build without CUDA."""
    if _CUDA not in onnxruntime.get_available_providers():
        raise BackendError(
            f"ONNX Runtime {onnxruntime.__version__} runs on CPUs only; expected onnxruntime-gpu for --device cuda. "
            "Fix: pip uninstall -y onnxruntime && pip install 'amcnet[gpu]'; or leave out --device cuda"
        )
    onnxruntime.preload_dlls()


def require_onnxruntime() -> str | None:
    """Package and version of ONNX Runtime; None if its module is from a package of another name. Imports nothing.

    Raises BackendError if it is not installed, or installed twice: the two packages overwrite each other's files.
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
            "them. Fix: pip uninstall -y onnxruntime onnxruntime-gpu && "
            "pip install 'amcnet[cpu]'"
        )
    # The module is looked up, not the package: builds for other devices have packages of other names.
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
            f"{package} is installed but cannot be imported ({error}). Fix: "
            f"pip install --force-reinstall {package.split()[0]}"
        ) from error
    return onnxruntime
