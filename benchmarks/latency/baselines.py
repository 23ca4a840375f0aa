"""Other ways to run the same network on the same input, each only where it is installed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import AmcNetError
from ...runtime.files.onnx_file import CHECKPOINT_SHA256, CONFIG, OnnxFile
from ...runtime.machine_info import available_cores

if TYPE_CHECKING:
    import torch

Inputs = Mapping[str, NDArray[Any]]
Run = Callable[[Inputs], NDArray[np.float32]]


class NotInstalledError(AmcNetError):
    """A peer that is not here; the message is the reason."""


def open_peers(
    file: OnnxFile, checkpoint: Path | None, inputs: Inputs, device: str = "cpu"
) -> tuple[dict[str, Run], dict[str, str]]:
    """The peers that run `file` on `device`, by name, each tried once on `inputs`; and why the others do not.

    PyTorch takes its weights from `checkpoint`, or from the seed that the file says it is made of, or from seed 1: the
    time does not depend on the weights, so any will do.
    """
    here: dict[str, Run] = {}
    absent: dict[str, str] = {}
    for name, opener in PEERS[device].items():
        try:
            run = opener(file, checkpoint)
            run(inputs)
            here[name] = run
        except NotInstalledError as error:
            absent[name] = str(error)
        except Exception as error:  # a peer that fails is no reason for the others not to be measured
            absent[name] = f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return here, absent


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
    from ...models import AMCNet, AMCNetConfig, PWCNet, load_amcnet, load_pwcnet, seed_weights

    if file.model == "pipeline" or file.precision != "fp32":
        raise NotInstalledError("PyTorch is compared with float32 files of one network")
    if checkpoint is not None:
        return load_amcnet(checkpoint) if file.model == "amcnet" else load_pwcnet(checkpoint)
    text = file.metadata[CHECKPOINT_SHA256]
    seed = int(text.rpartition(" ")[2]) if file.untrained else 1
    if file.model == "pwcnet":
        return seed_weights(PWCNet(), seed)
    return seed_weights(AMCNet(AMCNetConfig(**json.loads(file.metadata[CONFIG]))), seed)


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
    """With the library's own defaults: its convolutions take TF32."""
    return _cuda_run(_torch_network(file, checkpoint), half=False)


def _cuda_half(file: OnnxFile, checkpoint: Path | None) -> Run:
    return _cuda_run(_torch_network(file, checkpoint), half=True)


def _cuda_run(network: Any, *, half: bool, graph: bool = False) -> Run:
    """Arrays in, an array out, as ours. `graph`: its kernels are launched by one call."""
    import torch

    if not torch.cuda.is_available():
        raise NotInstalledError("PyTorch finds no GPU, or is the build for CPUs")
    layout = torch.channels_last if half else torch.contiguous_format
    network = network.to("cuda", torch.float16 if half else torch.float32, memory_format=layout)

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
        for place, tensor in zip(memory, tensors, strict=True):
            place.copy_(tensor)
        cuda_graph.replay()
        return np.asarray(result.cpu().numpy())

    return run


def _record(compute: Callable[[list[Any]], Any], tensors: list[Any]) -> tuple[Any, list[Any], Any]:
    """The CUDA graph of `compute`, the memory that it reads, and that which it writes."""
    import torch

    memory = [tensor.cuda() for tensor in tensors]
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # libraries choose their kernels, and take their memory, when they first run
            compute(memory)
    torch.cuda.current_stream().wait_stream(stream)
    cuda_graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(cuda_graph):
        result = compute(memory)
    return cuda_graph, memory, result


def _cuda_half_graph(file: OnnxFile, checkpoint: Path | None) -> Run:
    return _cuda_run(_torch_network(file, checkpoint), half=True, graph=True)


def _onnxruntime_cpu(file: OnnxFile, checkpoint: Path | None) -> Run:
    return _onnxruntime(file, "CPUExecutionProvider")


def _onnxruntime_cuda(file: OnnxFile, checkpoint: Path | None) -> Run:
    return _onnxruntime(file, "CUDAExecutionProvider")


def _onnxruntime(file: OnnxFile, provider: str) -> Run:
    """With the library's own defaults, as people use it first."""
    try:
        import onnxruntime
    except ImportError:
        raise NotInstalledError("ONNX Runtime is not installed: pip install 'amcnet[cpu]'") from None
    if provider not in onnxruntime.get_available_providers():
        raise NotInstalledError(f"this onnxruntime has no {provider}: pip install 'amcnet[gpu]'")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file.path, options, providers=[provider])
    if session.get_providers()[0] != provider:
        raise NotInstalledError(f"ONNX Runtime fell back from {provider}: no GPU that it can use")
    return lambda inputs: np.asarray(session.run(None, dict(inputs))[0])


def _openvino(file: OnnxFile, checkpoint: Path | None) -> Run:
    """In float32: left alone it computes in bfloat16 where the processor can, which is faster and less exact."""
    return _openvino_with(file, {"INFERENCE_PRECISION_HINT": "f32"})


def _openvino_fastest(file: OnnxFile, checkpoint: Path | None) -> Run:
    return _openvino_with(file, {})


def _openvino_with(file: OnnxFile, options: dict[str, Any]) -> Run:
    try:
        import onnx
        import openvino
        from onnx import inliner
    except ImportError as error:
        raise NotInstalledError(f"{error.name} is not installed: pip install openvino onnx") from None
    # It knows no functions of other domains: they are written out for it.
    model = inliner.inline_local_functions(onnx.load(file.path)).SerializeToString()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": available_cores()} | options
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model, b""), "CPU", settings)
    return lambda inputs: np.asarray(compiled(dict(inputs))[0])


def _tensorrt(file: OnnxFile, checkpoint: Path | None) -> Run:
    raise NotInstalledError(
        "an engine is measured by its own: build-engine FILE.onnx, then amc-bench FILE.engine on a machine with a GPU"
    )


PEERS: dict[str, dict[str, Callable[[OnnxFile, Path | None], Run]]] = {
    "cpu": {
        "PyTorch, eager": _torch_eager,
        "PyTorch, channels-last": _torch_channels_last,
        "PyTorch, torch.compile": _torch_compile,
        "ONNX Runtime, CPU, its defaults": _onnxruntime_cpu,
        "OpenVINO, f32": _openvino,
        "OpenVINO, its defaults (bf16 where the CPU can)": _openvino_fastest,
    },
    "cuda": {
        "PyTorch, CUDA, eager, its defaults (TF32)": _cuda_eager,
        "PyTorch, CUDA, channels-last, half": _cuda_half,
        "PyTorch, CUDA, channels-last, half, CUDA graph": _cuda_half_graph,
        "ONNX Runtime, CUDA, its defaults (TF32)": _onnxruntime_cuda,
        "TensorRT": _tensorrt,
    },
}
