"""Baselines: the same network on the same inputs in PyTorch, ONNX Runtime and OpenVINO, where they are installed."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.backends import openvino_backend
from ...runtime.errors import AmcNetError
from ...runtime.files.onnx_file import CHECKPOINT_SHA256, CONFIG, OnnxFile
from ...runtime.machine_info import available_cores
from .progress import Report
from .time_limit import TooSlowError, time_limit

if TYPE_CHECKING:
    import torch

Inputs = Mapping[str, NDArray[Any]]
Run = Callable[[Inputs], NDArray[np.float32]]


class NotInstalledError(AmcNetError):
    """A baseline cannot run on this machine; the message is the reason."""


def open_baselines(
    file: OnnxFile,
    checkpoint: Path | None,
    inputs: Inputs,
    device: str = "cpu",
    *,
    limit_s: float = 120.0,
    least_runs: int = 1,
    progress: Report = lambda text, left_s=None: None,
) -> tuple[dict[str, Run], dict[str, str]]:
    """Open the baselines of `device` for `file` and run each twice on `inputs`.

    Returns (by name, a function from inputs to the first output; by name, the reason why a baseline is not measured).
    PyTorch loads `checkpoint`. Without one it uses weights drawn from the seed that is recorded in the file, or from
    seed 1: latency does not depend on the values. A baseline is too slow if it is not ready after `limit_s`, or if
    `least_runs` runs take longer than that.
    """
    runs: dict[str, Run] = {}
    not_measured: dict[str, str] = {}
    for name, opener in BASELINES[device].items():
        progress(f"loading {file.path.name}: {name}, at most {limit_s:.0f} s")
        try:
            with time_limit(limit_s):
                run = opener(file, checkpoint)
                run(inputs)
                begin = time.perf_counter()
                run(inputs)
                run_s = time.perf_counter() - begin
            if least_runs * run_s > limit_s:
                not_measured[name] = f"too slow: {least_runs} runs of {run_s:.1f} s; the limit is {limit_s:.0f} s"
            else:
                runs[name] = run
        except TooSlowError:
            not_measured[name] = f"too slow: not ready after {limit_s:.0f} s"
        except NotInstalledError as error:
            not_measured[name] = str(error)
        except Exception as error:  # a failing library must not prevent the others from being measured
            not_measured[name] = f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return runs, not_measured


def _torch_eager(file: OnnxFile, checkpoint: Path | None) -> Run:
    return _torch_run(_torch_network(file, checkpoint))


def _torch_channels_last(file: OnnxFile, checkpoint: Path | None) -> Run:
    import torch

    network = _torch_network(file, checkpoint)
    return _torch_run(network.to(memory_format=torch.channels_last), torch.channels_last)  # type: ignore[call-overload]


def _torch_compile(file: OnnxFile, checkpoint: Path | None) -> Run:
    import torch

    return _torch_run(torch.compile(_torch_network(file, checkpoint)))


def _torch_network(file: OnnxFile, checkpoint: Path | None) -> torch.nn.Module:
    if importlib.util.find_spec("torch") is None:
        raise NotInstalledError("PyTorch is not installed: pip install 'amcnet[export]'")
    from ... import models
    from ...export.padded_raft import PaddedRAFT

    if file.model == "pipeline" or file.precision != "fp32":
        raise NotInstalledError(
            f"PyTorch runs FP32 files of single networks; this file is {file.model} in {file.precision.upper()}"
        )
    seed = int(file.metadata[CHECKPOINT_SHA256].rpartition(" ")[2]) if file.untrained else 1
    if file.model == "pwcnet":
        return models.load_pwcnet(checkpoint) if checkpoint else models.seed_weights(models.PWCNet(), seed)
    config = file.metadata[CONFIG]
    if file.model == "raft":
        raft_config = models.RAFTConfig(**json.loads(config))
        seeded = models.seed_weights(models.RAFT(raft_config), seed)
        raft = models.load_raft(checkpoint, raft_config.iterations) if checkpoint else seeded
        return PaddedRAFT(raft, file.preprocessing.size)
    if checkpoint:
        return models.load_amcnet(checkpoint)
    return models.seed_weights(models.AMCNet(models.AMCNetConfig.from_json(config)), seed)


def _torch_run(network: Any, memory_format: Any = None) -> Run:
    import torch

    from ...models.torch_threads import torch_threads

    def run(inputs: Inputs) -> NDArray[np.float32]:
        with torch_threads(available_cores()), torch.inference_mode():
            tensors = [torch.from_numpy(value) for value in inputs.values()]
            if memory_format is not None:
                tensors = [tensor.to(memory_format=memory_format) for tensor in tensors]
            result = network(*tensors)
            return np.asarray(getattr(result, "mask", result).float().numpy())

    return run


def _cuda_eager(file: OnnxFile, checkpoint: Path | None) -> Run:
    """Default options of PyTorch: convolutions use TF32."""
    return _cuda_run(_torch_network(file, checkpoint), fp16=False)


def _cuda_fp16(file: OnnxFile, checkpoint: Path | None) -> Run:
    return _cuda_run(_torch_network(file, checkpoint), fp16=True)


def _cuda_run(network: Any, *, fp16: bool, graph: bool = False) -> Run:
    """A function from numpy arrays to a numpy array, copies included, as amcnet's own backends are measured.

    graph: launch all kernels as one CUDA graph.
    """
    import torch

    if not torch.cuda.is_available():
        raise NotInstalledError("PyTorch has no CUDA device: no NVIDIA GPU, or a CPU-only build of PyTorch")
    layout = torch.channels_last if fp16 else torch.contiguous_format
    network = network.to("cuda", torch.float16 if fp16 else torch.float32, memory_format=layout)

    def compute(tensors: list[torch.Tensor]) -> torch.Tensor:
        result = network(*(x.to(next(network.parameters()).dtype, memory_format=layout) for x in tensors))
        return getattr(result, "mask", result).float()  # type: ignore[no-any-return]

    recorded: list[Any] = []

    @torch.inference_mode()
    def run(inputs: Inputs) -> NDArray[np.float32]:
        tensors = [torch.from_numpy(value) for value in inputs.values()]
        if not graph:
            return np.asarray(compute([tensor.cuda() for tensor in tensors]).cpu().numpy())
        if not recorded:
            recorded.extend(_record(compute, tensors))
        cuda_graph, memory, result = recorded
        for target, tensor in zip(memory, tensors, strict=True):
            target.copy_(tensor)
        cuda_graph.replay()
        return np.asarray(result.cpu().numpy())

    return run


def _record(compute: Callable[[list[Any]], Any], tensors: list[Any]) -> tuple[Any, list[Any], Any]:
    """Record `compute` as a CUDA graph: (graph, input tensors, output tensor), all on the GPU."""
    import torch

    memory = [tensor.cuda() for tensor in tensors]
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # the first runs select kernels and allocate workspace
            compute(memory)
    torch.cuda.current_stream().wait_stream(stream)
    cuda_graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(cuda_graph):
        result = compute(memory)
    return cuda_graph, memory, result


def _cuda_fp16_graph(file: OnnxFile, checkpoint: Path | None) -> Run:
    return _cuda_run(_torch_network(file, checkpoint), fp16=True, graph=True)


def _onnxruntime_cpu(file: OnnxFile, checkpoint: Path | None) -> Run:
    return _onnxruntime(file, "CPUExecutionProvider")


def _onnxruntime_cuda(file: OnnxFile, checkpoint: Path | None) -> Run:
    return _onnxruntime(file, "CUDAExecutionProvider")


def _onnxruntime(file: OnnxFile, provider: str) -> Run:
    """Default session options, except for the log level."""
    try:
        import onnxruntime
    except ImportError:
        raise NotInstalledError("ONNX Runtime is not installed: pip install 'amcnet[cpu]'") from None
    if provider not in onnxruntime.get_available_providers():
        raise NotInstalledError(f"onnxruntime is built without {provider}: pip install 'amcnet[gpu]'")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file.path, options, providers=[provider])
    if session.get_providers()[0] != provider:
        raise NotInstalledError(f"ONNX Runtime could not initialize {provider}: no usable GPU")
    return lambda inputs: np.asarray(session.run(None, dict(inputs))[0])


def _openvino(file: OnnxFile, checkpoint: Path | None) -> Run:
    """Computation in FP32; by default OpenVINO uses BF16 where the CPU supports it, which is faster and less exact."""
    return _openvino_with(file, {"INFERENCE_PRECISION_HINT": "f32"})


def _openvino_default(file: OnnxFile, checkpoint: Path | None) -> Run:
    return _openvino_with(file, {})


def _openvino_with(file: OnnxFile, options: dict[str, Any]) -> Run:
    try:
        import onnx
        from onnx import inliner
    except ImportError as error:
        raise NotInstalledError(f"{error.name} is not installed: pip install openvino onnx") from None
    if not openvino_backend.is_installed():
        raise NotInstalledError("openvino is not installed: pip install openvino onnx")
    # OpenVINO does not support functions of custom domains.
    model = inliner.inline_local_functions(onnx.load(file.path)).SerializeToString()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": available_cores()} | options
    core = openvino_backend.openvino_core()
    compiled = core.compile_model(core.read_model(model, b""), "CPU", settings)
    return lambda inputs: np.asarray(compiled(dict(inputs))[0])


BASELINES: dict[str, dict[str, Callable[[OnnxFile, Path | None], Run]]] = {
    "cpu": {
        "PyTorch, eager": _torch_eager,
        "PyTorch, channels-last": _torch_channels_last,
        "PyTorch, torch.compile": _torch_compile,
        "ONNX Runtime, CPU, default options": _onnxruntime_cpu,
        "OpenVINO, FP32": _openvino,
        "OpenVINO, default options (BF16 where supported)": _openvino_default,
    },
    "cuda": {
        "PyTorch, CUDA, eager, default options (TF32)": _cuda_eager,
        "PyTorch, CUDA, channels-last, FP16": _cuda_fp16,
        "PyTorch, CUDA, channels-last, FP16, CUDA graph": _cuda_fp16_graph,
        "ONNX Runtime, CUDA, default options (TF32)": _onnxruntime_cuda,
    },
}
# These compute in another precision than that of the file, so that its peak FLOP/s do not bound them.
OTHER_PRECISION = frozenset(("OpenVINO, default options (BF16 where supported)", *BASELINES["cuda"]))
