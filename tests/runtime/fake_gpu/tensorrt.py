"""TensorRT without a GPU, for tests: a plan is JSON that names a formula, which NumPy works out on the stream.

Its work runs as a host function of the driver (driver.c), so that streams, events and graphs order it as they would
order kernels. As strict as the real one: a context serves one caller at a time and is recorded only after it has run;
nothing runs without memory bound. What is dropped is noted in the driver's log.
"""

from __future__ import annotations

import ctypes
import json
import os
import threading
import time
from enum import Enum
from typing import Any

import numpy as np

__version__ = "10.16.1.11"
_DRIVER = ctypes.CDLL("libcuda.so.1")
_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_TYPES = {"FLOAT": np.float32, "HALF": np.float16, "UINT8": np.uint8}


class ILogger:
    WARNING = 2

    def __init__(self) -> None: ...


class TensorIOMode(Enum):
    INPUT = 1
    OUTPUT = 2


class LayerInformationFormat(Enum):
    JSON = 1


class DataType(Enum):
    FLOAT = 0
    HALF = 1
    UINT8 = 5
    FP4 = 10


def note(what: str) -> None:
    if "FAKE_CUDA_LOG" in os.environ:
        with open(os.environ["FAKE_CUDA_LOG"], "a") as log:
            log.write(f"0 {what} 0 0\n")


class Runtime:
    def __init__(self, logger: Any) -> None:
        self.logger = logger
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, data: bytes) -> ICudaEngine | None:
        current = ctypes.c_void_p()
        _DRIVER.cuCtxGetCurrent(ctypes.byref(current))
        assert current.value, "no GPU is current"
        self.logger.log(3, "Loaded engine size: 0 MiB")
        try:
            plan = json.loads(data)
        except ValueError:
            self.logger.log(1, "IRuntime::deserializeCudaEngine: Error Code 1: Serialization\n (magic tag mismatch)")
            return None
        note("deserialized")
        assert plan.get("host_code", False) == self.engine_host_code_allowed
        return ICudaEngine(self, plan)

    def __del__(self) -> None:
        note("runtime-dropped")


class ICudaEngine:
    def __init__(self, runtime: Runtime, plan: dict[str, Any]) -> None:
        self.logger = runtime.logger
        self.plan = plan
        self.tensors: dict[str, list[Any]] = plan["inputs"] | plan["outputs"]
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType[self.tensors[name][0]]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.tensors[name][1])

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.plan["inputs"] else TensorIOMode.OUTPUT

    def create_execution_context(self) -> IExecutionContext | None:
        if self.plan.get("no_context"):
            self.logger.log(1, "Error Code 2: OutOfMemory")
            return None
        return IExecutionContext(self)

    def create_engine_inspector(self) -> Any:
        layers = self.plan["layers"]
        return type("EngineInspector", (), {"get_engine_information": lambda _, form: json.dumps({"Layers": layers})})()

    def __del__(self) -> None:
        note("engine-dropped")


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self.engine = engine
        self.addresses: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.warm = False
        self.busy = threading.Lock()
        self.kept: list[Any] = []
        note("context-made")

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        fits = all(b in (-1, a) for a, b in zip(shape, self.engine.get_tensor_shape(name), strict=True))
        if fits:
            self.shapes[name] = tuple(shape)
        return fits

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        batch = next(iter(self.shapes.values()))[0]
        return tuple(batch if size == -1 else size for size in self.engine.get_tensor_shape(name))

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert isinstance(address, int)
        self.addresses[name] = address
        return name in self.engine.tensors

    def execute_async_v3(self, stream: int) -> bool:
        plan = self.engine.plan
        capturing = ctypes.c_int()
        _DRIVER.cuStreamIsCapturing(ctypes.c_void_p(stream), ctypes.byref(capturing))
        if set(self.addresses) != set(self.engine.tensors) or (capturing.value and not self.warm):
            self.engine.logger.log(1, "Error Code 3: API Usage Error")
            return False
        if capturing.value and plan.get("not_recordable"):
            return bool(_DRIVER.cuStreamSynchronize(ctypes.c_void_p(stream)) == 0)
        self.warm = True
        bound, busy = {name: self._array(name) for name in self.addresses}, self.busy

        def work(_: int) -> None:
            if not busy.acquire(blocking=False):
                note("two-at-once-in-one-context")
            time.sleep(plan.get("seconds", 0))
            FORMULAS[plan["formula"]](bound)
            busy.release()

        function = _FUNCTION(work)
        self.kept.append(function)
        return bool(_DRIVER.cuLaunchHostFunc(ctypes.c_void_p(stream), function, None) == 0)

    def _array(self, name: str) -> np.ndarray[Any, Any]:
        dtype = np.dtype(_TYPES[self.engine.tensors[name][0]])
        shape = self.shapes.get(name) or self.get_tensor_shape(name)
        size = int(np.prod(shape)) * dtype.itemsize
        memory = (ctypes.c_uint8 * size).from_address(self.addresses[name])
        return np.frombuffer(memory, dtype).reshape(shape)

    def __del__(self) -> None:
        note("context-dropped")


def _amcnet(bound: dict[str, Any]) -> None:
    """The tiny AMC-Net of networks.py, in the engine's own precision."""
    logits = bound["image"].mean(axis=1, keepdims=True) + 0.5 * bound["flow_image"].mean(axis=1, keepdims=True) - 0.7
    bound["mask"][...] = 1 / (1 + np.exp(-logits))


def _pwcnet(bound: dict[str, Any]) -> None:
    growth = bound["next_frame"] - bound["frame"]
    size = growth.shape[2] // 4, growth.shape[3] // 4
    blocks = growth.reshape(1, 3, size[0], 4, size[1], 4).sum(axis=(3, 5)) * (20 / 16)
    bound["flow"][:, 0], bound["flow"][:, 1] = blocks[:, 0], blocks[:, 2]


def _raft(bound: dict[str, Any]) -> None:
    bound["flow"][...] = 20 * (bound["next_frame"] - bound["frame"])[:, [0, 2]]


def _pipeline(bound: dict[str, Any]) -> None:
    """So that frame and next frame cannot be mistaken for each other."""
    bound["mask"][...] = bound["frame"][..., 0] / 512 + bound["next_frame"][..., 1] / 1024


FORMULAS = {"amcnet": _amcnet, "pwcnet": _pwcnet, "raft": _raft, "pipeline": _pipeline, "nothing": lambda bound: None}
