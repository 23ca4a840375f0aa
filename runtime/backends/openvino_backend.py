"""Networks in OpenVINO, on CPUs; benchmarks/studies/cpu_speed.py compares its speed with ONNX Runtime's."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from ..files.onnx_file import INT8_TARGET, OnnxFile
from ..machine_info import available_cores, multiplies_int8
from ..version import __version__
from .base import check_contract, in_one_line, requested_outputs
from .compiled_cache import CompiledCache
from .library_backend import LibraryBackend
from .openvino_operators import operator_extensions
from .resource_pool import ResourcePool


def runs_in_openvino(file: OnnxFile) -> bool:
    """Whether OpenVINO is installed and can run `file`: an AMC-Net, an FP32 PWC-Net, or an INT8 file for CPUs.

    INT8 only on processors with instructions for it: on others, OpenVINO 2026.4 accumulates in 16 bits, which overflow.
    The mask IoU of the light network is 0.89 then, instead of 0.98; ONNX Runtime avoids the overflow.
    """
    float_flow = file.model == "pwcnet" and file.precision == "fp32"
    readable = file.model == "amcnet" or float_flow or file.metadata.get(INT8_TARGET) == "cpu"
    exact = file.precision != "int8" or multiplies_int8()
    return readable and exact and is_installed()


def is_installed() -> bool:
    return importlib.util.find_spec("openvino") is not None


class OpenVinoBackend(LibraryBackend):
    """OpenVINO on the CPU; threads that call `run` at the same time have a request each."""

    def __init__(self, file: OnnxFile, threads: int, *, bf16: bool = False, extra_outputs: Sequence[str] = ()) -> None:
        """Load `file`, one that `runs_in_openvino`, to compute with `threads` threads in each call of `run`.

        bf16: convolutions and matrix products of an FP32 file in BF16, on processors with instructions for it.
        extra_outputs: see `open_backend`.

        One inference runs here, before others run at the same time: the first two of a process, in two threads, can
        deadlock. One waits for the GIL inside the std::call_once of pybind11's lookup of numpy, the other holds the GIL
        and waits for that call (pybind/pybind11#4877).
        Raises BackendError, or ModelFileError for other inputs or outputs.
        """
        super().__init__(file)
        openvino = _import_openvino()
        streams = max(1, available_cores() // threads)
        options = {
            # The default of the library is BF16 on CPUs that support it.
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            "INFERENCE_NUM_THREADS": threads * streams,
            "NUM_STREAMS": streams,
        }
        try:
            self._outputs = requested_outputs(file, extra_outputs)
            self._model: Any = _compile(openvino, file, options, self._outputs)
        except Exception as error:  # the library's exceptions have no common class
            raise BackendError(
                f"OpenVINO {openvino.__version__} refuses {file.path}: {in_one_line(error)}. "
                "Fix: export the file again with export-onnx, or use ONNX Runtime: pip uninstall openvino"
            ) from error
        check_contract(file, _names(self._model.inputs), _names(self._model.outputs))
        self._requests = ResourcePool(lambda: _Request(self._model.create_infer_request()))
        self._infer({value.get_any_name(): _zeros(value.partial_shape) for value in self._model.inputs})
        version = openvino.__version__.partition("-")[0]
        self.name = (
            f"OpenVINO {version}, CPU, {'BF16, ' if bf16 else ''}{threads} thread{'s' if threads > 1 else ''} a frame"
        )

    def _compute(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        with self._requests.take() as taken:
            results = taken.request.infer(dict(inputs))
            # Copied: the results are memory of the request, which its next call overwrites.
            return {name: np.array(results[name]) for name in self._outputs}

    def _release(self) -> None:
        self._requests.close()
        self._model = None


def _names(values: Any) -> list[str]:
    """All names of OpenVINO's inputs or outputs; a value may have several."""
    return [name for value in values for name in sorted(value.get_names())]


def _zeros(shape: Any) -> NDArray[np.float32]:
    """Zeros for OpenVINO's partial `shape` of an input; each free size is 1."""
    return np.zeros([size.get_length() if size.is_static else 1 for size in shape], np.float32)


@dataclass(frozen=True)
class _Request:
    request: Any

    def close(self) -> None: ...


def _compile(openvino: Any, file: OnnxFile, options: dict[str, Any], outputs: list[str]) -> Any:
    """Compile the network, or read it from the user's cache; a compiled one is added to the cache.

    Only `outputs` are kept: a request computes all outputs of a compiled network.
    """
    core = openvino_core()
    cache = CompiledCache.of_user()
    key = {
        "onnx_sha256": file.sha256(),
        "options": options,
        "outputs": outputs,
        "amcnet": __version__,  # the operators of openvino_operators.py change the compiled network
        "openvino": openvino.__version__,
        "processor": core.get_property("CPU", "FULL_DEVICE_NAME"),
        "instructions": sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
    }
    compiled = cache.read(key)
    if compiled is not None:
        with suppress(RuntimeError):  # a cached file that OpenVINO refuses is replaced
            return core.import_model(compiled, "CPU", options)
    network = core.read_model(file.path)
    unused = [value for value in network.outputs if value.get_names().isdisjoint(outputs)]
    if len(unused) < len(network.outputs):  # otherwise the file is of another kind, and refused with its names
        for value in unused:
            network.remove_result(value.get_node())
    model = core.compile_model(network, "CPU", options)
    with suppress(RuntimeError):  # not every network can be exported
        cache.write(key, model.export_model().getvalue())
    return model


@functools.cache
def openvino_core() -> Any:
    """OpenVINO's `Core` of this process, which reads the operators of the domain `amcnet`. Raises BackendError.

    There is one, which is never released: each `Core` gives the thread another stack for signal handlers, and two that
    are released in the order of their creation leave the thread with a stack that is freed. The next signal, such as
    Ctrl-C, then ends the process with SIGSEGV (OpenVINO 2026.4).
    """
    openvino = _import_openvino()
    core = openvino.Core()
    for extension in operator_extensions(openvino):
        core.add_extension(extension)
    return core


def _import_openvino() -> Any:
    """Import OpenVINO without its telemetry: its import would report its use to a server, in a thread of its own."""
    telemetry = "openvino_telemetry"
    hidden = telemetry not in sys.modules
    if hidden:
        sys.modules[telemetry] = None  # type: ignore[assignment] # as if it were not installed
    try:
        import openvino
        import openvino.frontend.onnx
    except ImportError as error:
        raise BackendError(
            f"OpenVINO cannot be imported ({error}). Fix: pip install 'amcnet[openvino]', or use ONNX Runtime: "
            "pip uninstall openvino"
        ) from error
    finally:
        if hidden:
            del sys.modules[telemetry]
    return openvino
