"""Choice of the inference library that runs a model file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import BackendError, InputError
from ..files.onnx_file import OnnxFile
from ..machine_info import is_arm, multiplies_bf16, processor_name
from ..trt.card import EngineFile
from .base import Backend, NetworkFile

if TYPE_CHECKING:
    from .tensorrt_pipeline import PipelineBackend


def open_backend(
    file: NetworkFile, threads: int, device: str = "cpu", *, bf16: bool = False, extra_outputs: Sequence[str] = ()
) -> Backend:
    """Load `file` into the library that runs it on `device`, with `threads` threads in each call of `run`.

    device: one of DEVICES, for ONNX files; a GPU that cannot be used is an error. Engines always run on the GPU.
    bf16: compute products in BF16, for files that passed `require_bf16`.
    extra_outputs: names in `file.outputs` that `run` returns in addition to the mask or the flow.
    Raises BackendError, EngineError, or ModelFileError for inputs or outputs that are not those of the model.
    """
    if isinstance(file, EngineFile):
        from .tensorrt_backend import EngineBackend

        return EngineBackend(file, extra_outputs)
    from .onnxruntime_backend import OnnxRuntimeBackend
    from .openvino_backend import OpenVinoBackend

    if _takes_openvino(file, device, bf16):
        return OpenVinoBackend(file, threads, bf16=bf16, extra_outputs=extra_outputs)
    return OnnxRuntimeBackend(file, threads, device, bf16=bf16, extra_outputs=extra_outputs)


def require_bf16(file: NetworkFile, device: str) -> None:
    """Check that `file` can be computed in BF16 on `device`; import nothing.

    On x86 this takes OpenVINO, on Arm ONNX Runtime. Raises InputError for a GPU, an engine or a file that is not FP32,
    and BackendError for a processor or a library without BF16.
    """
    from .openvino_backend import is_installed

    if isinstance(file, EngineFile) or device != "cpu":
        raise InputError("precision bf16 is for ONNX files on the CPU. Fix: leave out --precision bf16")
    if file.precision != "fp32":
        raise InputError(
            f"precision bf16 was given, and {file.path} is {file.precision.upper()}; expected an FP32 file. "
            "Fix: leave out --precision bf16"
        )
    if not multiplies_bf16():
        raise BackendError(
            f"{processor_name()} has no BF16 instructions; expected avx512_bf16, amx_bf16 or Arm's bf16 in "
            "/proc/cpuinfo. Fix: leave out --precision bf16"
        )
    if not is_arm() and not is_installed():
        raise BackendError(
            "precision bf16 needs OpenVINO, which is not installed; ONNX Runtime computes in BF16 on Arm only. "
            "Fix: pip install 'amcnet[openvino]', or leave out --precision bf16"
        )


def require_library(file: NetworkFile, device: str, *, bf16: bool = False) -> None:
    """Raise BackendError if the library that `open_backend` uses for an ONNX file is not installed; import nothing.

    The requirements of an engine are on its card, which is compared with the machine before anything is loaded.
    """
    if isinstance(file, EngineFile):
        return
    from .onnxruntime_session import require_onnxruntime

    if not _takes_openvino(file, device, bf16):
        require_onnxruntime()


def _takes_openvino(file: OnnxFile, device: str, bf16: bool) -> bool:
    from .openvino_backend import runs_in_openvino

    return device == "cpu" and runs_in_openvino(file) and not (bf16 and is_arm())


def open_pipeline(file: EngineFile) -> PipelineBackend:
    """Load the engine of a whole pipeline: frames in, masks out. Raises as `open_backend`."""
    from .tensorrt_pipeline import PipelineBackend

    return PipelineBackend(file)
