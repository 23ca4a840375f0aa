"""Networks in OpenVINO, on CPUs: benchmarks/studies/cpu_speed.py has what it gains over ONNX Runtime."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..closeable import Closeable
from ..errors import BackendError, ModelFileError
from ..files.onnx_file import INT8_TARGET, OnnxFile
from ..loaded_process import LoadedProcess
from ..machine_info import available_cores, multiplies_int8
from ..version import __version__
from .base import check_contract, check_finite, in_one_line
from .compiled_cache import CompiledCache
from .resource_pool import ResourcePool


def runs_in_openvino(file: OnnxFile) -> bool:
    """Whether OpenVINO is installed and right for `file`: AMC-Net, and int8 for CPUs, where no function is left.

    In int8 only if the processor has the instructions for it: without, OpenVINO 2026.4 adds up in 16 bits, which
    overflow (a mask IoU of 0.89 instead of 0.98 for the light network); ONNX Runtime can do without overflow.
    """
    readable = file.model == "amcnet" or file.metadata.get(INT8_TARGET) == "cpu"
    exact = file.precision != "int8" or multiplies_int8()
    return readable and exact and is_installed()


def is_installed() -> bool:
    return importlib.util.find_spec("openvino") is not None


class OpenVinoBackend(Closeable):
    """OpenVINO on the CPU; each thread that calls `run` works by itself."""

    def __init__(self, file: OnnxFile, threads: int) -> None:
        """Load `file`, one that `runs_in_openvino`, to compute with this many `threads` in each call of `run`.

        One inference runs here, before others run at the same time: the first two of a process, in two threads, can
        wait for each other for ever. One waits for the GIL inside the std::call_once of pybind11's look-up of numpy,
        the other keeps the GIL and waits for that call (pybind/pybind11#4877).
        Raises BackendError, or ModelFileError for other inputs or outputs.
        """
        openvino = _import_openvino()
        streams = max(1, available_cores() // threads)
        options = {
            # It would compute in BF16 by itself, where the CPU can: precision is what the file says.
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads * streams,
            "NUM_STREAMS": streams,
        }
        try:
            self._model: Any = _compile(openvino, file, options)
        except Exception as error:  # the library's exceptions have no common class of their own
            raise BackendError(
                f"OpenVINO {openvino.__version__} refuses {file.path}: {in_one_line(error)}; "
                "export the file again with export-onnx, or do without: pip uninstall openvino"
            ) from error
        self._file = file
        self._outputs = [value.get_any_name() for value in self._model.outputs]
        check_contract(file, [value.get_any_name() for value in self._model.inputs], self._outputs)
        self._lanes = ResourcePool(lambda: _Request(self._model.create_infer_request()))
        self._loaded = LoadedProcess()
        self._infer({value.get_any_name(): _zeros(value.partial_shape) for value in self._model.inputs})
        version = openvino.__version__.partition("-")[0]
        self.name = f"OpenVINO {version}, CPU, {threads} thread{'s' if threads > 1 else ''} a frame"

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        if self._model is None:
            raise ValueError(f"{self._file.path} is closed; run it inside the `with` block that opened it")
        self._loaded.require()
        outputs = self._infer(inputs)
        check_finite(self._file, outputs)
        return outputs

    def close(self) -> None:
        if not self._loaded.is_this:
            return  # the library would wait for its threads
        self._lanes.close()
        self._model = None

    def _infer(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        with self._lanes.take() as lane:
            try:
                results = lane.request.infer(dict(inputs))
            except Exception as error:
                shapes = ", ".join(f"{name} {value.dtype} {value.shape}" for name, value in inputs.items())
                raise ModelFileError(
                    f"{self._file.path} cannot be run on {shapes}: {in_one_line(error)}; "
                    "export it again with export-onnx"
                ) from error
            # The request's own memory, which its next call writes to.
            return {name: np.array(results[index]) for index, name in enumerate(self._outputs)}


def _zeros(shape: Any) -> NDArray[np.float32]:
    """An input of OpenVINO's partial `shape`, each free size 1."""
    return np.zeros([size.get_length() if size.is_static else 1 for size in shape], np.float32)


@dataclass(frozen=True)
class _Request:
    request: Any

    def close(self) -> None: ...


def _compile(openvino: Any, file: OnnxFile, options: dict[str, Any]) -> Any:
    """The compiled network, from the user's cache if it is there; else it is put there."""
    core = openvino.Core()
    cache = CompiledCache.of_user()
    key = {
        "onnx_sha256": file.sha256(),
        "options": options,
        "amcnet": __version__,  # what _gate and _co_attention make
        "openvino": openvino.__version__,
        "processor": core.get_property("CPU", "FULL_DEVICE_NAME"),
        "instructions": sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
    }
    compiled = cache.read(key)
    if compiled is not None:
        with suppress(RuntimeError):  # it does not take the file: then it makes another
            return core.import_model(compiled, "CPU", options)
    for name, converted in (("AmcCoAttentionGate", _gate), ("AmcCoAttention", _co_attention)):
        # OpenVINO does not read functions inside a file.
        core.add_extension(openvino.frontend.onnx.ConversionExtension(name, "amcnet", converted))
    model = core.compile_model(core.read_model(file.path), "CPU", options)
    with suppress(RuntimeError):  # not every network can be exported
        cache.write(key, model.export_model().getvalue())
    return model


def _import_openvino() -> Any:
    try:
        import openvino
        import openvino.frontend.onnx
    except ImportError as error:
        raise BackendError(
            f"OpenVINO cannot be imported ({error}); install it, pip install 'amcnet[openvino]', or do without: "
            "pip uninstall openvino"
        ) from error
    return openvino


def _gate(node: Any) -> list[Any]:
    """image, flow (B, C, H, W) and score (B, 2, H, W), as export/functions.py has it."""
    from openvino import opset13 as ops

    image, flow, score = (node.get_input(index) for index in range(3))
    gate = ops.reduce_mean(ops.sigmoid(score), np.array([2, 3]), keep_dims=True)  # (B, 2, 1, 1)
    image_gate, flow_gate = ops.split(gate, np.int64(1), 2).outputs()
    return [ops.multiply(image, image_gate).output(0), ops.multiply(flow, flow_gate).output(0)]


def _co_attention(node: Any) -> list[Any]:
    """image, flow (B, C, H, W) -> (B, C, H, W), as export/functions.py has it."""
    from openvino import opset13 as ops

    image, flow = (node.get_input(index) for index in range(2))
    flat = ops.constant(np.array([0, 0, -1], np.int64))
    image_pixels, flow_pixels = (ops.reshape(features, flat, special_zero=True) for features in (image, flow))
    scale = ops.constant(np.float32(1 / np.sqrt(image.get_partial_shape()[1].get_length())))
    logits = ops.multiply(ops.matmul(flow_pixels, image_pixels, True, False), scale)  # (B, HW of flow, HW of image)
    gathered = ops.matmul(image_pixels, ops.softmax(logits, -1), False, True)  # (B, C, HW)
    return [ops.reshape(gathered, ops.shape_of(image), special_zero=False).output(0)]
