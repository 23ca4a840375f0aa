"""Parse and build with TensorRT 8.6, 10 and 11 and TensorRT-RTX; their differences are here and in tensorrt8_types.py.

                      TensorRT 8.6           TensorRT 10            TensorRT 11    TensorRT-RTX
    types of tensors  tensorrt8_types.py     flag STRONGLY_TYPED    of the file    of the file
    batch dimension   flag EXPLICIT_BATCH    explicit               explicit       explicit
    progress          no                     yes                    yes            yes
    targets           GPU of the machine     same                   same           compute capabilities; needs no GPU
    timing cache      yes                    yes                    yes            no (it would need a GPU)

The name of a module variable defines the libraries that must have its attributes: `trt` all four, `plain` TensorRT
8.6, 10 and 11, `v8` TensorRT 8.6, `v10` TensorRT 10, 11 and TensorRT-RTX, `rtx` TensorRT-RTX. A test verifies that
against the real bindings. A build may abort the process and is run in a child process (build_process.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..runtime.errors import EngineError, ModelFileError, OutputError
from ..runtime.files.atomic import make_folder, replacing
from ..runtime.trt.api import NAMES, RTX_COMPUTE_CAPABILITIES, SM75, Shape, Tensor, _load, _times
from ..runtime.trt.precision_report import Layer
from . import tensorrt8_types

if TYPE_CHECKING:
    from tensorrt import (
        Builder,
        IBuilderConfig,
        IConvolutionLayer,
        IDeconvolutionLayer,
        ILayer,
        IMatrixMultiplyLayer,
        INetworkDefinition,
        IOptimizationProfile,
        ITensor,
        ITimingCache,
        ParserError,
    )
    from tensorrt import IBuilderConfig as PlainBuilderConfig
    from tensorrt import IBuilderConfig as V10BuilderConfig
    from tensorrt import ParserError as V8ParserError
    from tensorrt import ParserError as V10ParserError
    from tensorrt_rtx import IBuilderConfig as RtxBuilderConfig


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a build. shapes: input -> minimum, optimum and maximum shape, for inputs with free sizes."""

    flavor: str
    shapes: Mapping[str, tuple[Shape, Shape, Shape]]
    compute_capability: tuple[str, ...]
    timing_cache: Path | None
    version_compatible: bool
    hardware_compatible: bool
    workspace_mib: int | None
    optimization_level: int | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A serialized engine and the layers of the parsed network."""

    data: memoryview
    version: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    layers: tuple[Layer, ...]
    notes: tuple[str, ...]


def check(settings: Settings) -> None:
    """Raise EngineError for settings that the flavor does not support. Needs no library."""
    if settings.flavor == "tensorrt-rtx":
        for is_set, flag, reason in (
            (settings.version_compatible, "--version-compatible", "its engines run with the release that built them"),
            (settings.hardware_compatible, "--hardware-compatible", "its engines run on the GPUs they are built for"),
        ):
            if is_set:
                raise EngineError(
                    f"TensorRT-RTX does not support {flag}: {reason}. Fix: name the GPUs: --compute-capability 8.6 8.9"
                )
        for target in settings.compute_capability:
            if target not in RTX_COMPUTE_CAPABILITIES:
                known = ", ".join(RTX_COMPUTE_CAPABILITIES)
                raise EngineError(f"--compute-capability: got {target}, expected one of {known} for TensorRT-RTX")
    elif settings.compute_capability:
        raise EngineError(
            f"{NAMES[settings.flavor]} does not support --compute-capability: it builds for the GPU of this machine. "
            "Fix: leave it out, or build for other GPUs with --flavor tensorrt-rtx or --hardware-compatible"
        )


def build_plan(model: Path, settings: Settings, on_phase: Callable[[str], None]) -> Plan | None:
    """Parse `model` and build its engine; None if the build failed with a message in the library's log.

    on_phase: called with lines such as "Building engine 2/6: Timing tactics". TF32, TensorRT's default, is off: it has
    the 10-bit mantissa of FP16, and operators are FP32 in the file because they need more. Raises BackendError if the
    library is missing, ModelFileError with the errors of the parser, EngineError.
    """
    trt, version = _load(settings.flavor)
    logger = trt.Logger(trt.Logger.INFO)
    builder = trt.Builder(logger)
    network: INetworkDefinition = builder.create_network(_network_flags(trt, settings.flavor, version))
    _parse(trt, settings.flavor, network, logger, model)
    types = tensorrt8_types.file_types(model) if settings.flavor == "tensorrt-8" else {}
    layers = tuple(_layers(trt, network, types))
    if settings.flavor == "tensorrt-rtx" and SM75 in settings.compute_capability:
        _require_no_fp32_products(layers, model)
    config: IBuilderConfig = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # read by inspector.py
    if settings.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mib << 20)
    if settings.optimization_level is not None:
        config.builder_optimization_level = settings.optimization_level
    if settings.flavor == "tensorrt-8":
        tensorrt8_types.constrain(trt, network, config, types)
    else:
        v10_config: V10BuilderConfig = config
        v10_config.progress_monitor = _progress_monitor(trt, on_phase)
    _add_profile(builder, network, config, settings.shapes)
    notes: list[str] = []
    if settings.flavor == "tensorrt-rtx":
        _set_targets(trt, config, settings.compute_capability)
        if settings.timing_cache is not None:
            notes.append("TensorRT-RTX does not support --timing-cache; it is ignored")
    else:
        _set_compatibility(trt, config, settings)
        notes += _read_timing_cache(trt, config, settings.timing_cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        return None
    if settings.flavor != "tensorrt-rtx" and settings.timing_cache is not None:
        notes += _write_timing_cache(config, settings.timing_cache)
    return Plan(
        data=memoryview(plan),
        version=version,
        inputs=tuple(_tensor(network.get_input(index)) for index in range(network.num_inputs)),
        outputs=tuple(_tensor(network.get_output(index)) for index in range(network.num_outputs)),
        layers=layers,
        notes=tuple(notes),
    )


def _network_flags(library: ModuleType, flavor: str, version: str) -> int:
    if flavor == "tensorrt-8":
        v8 = library
        return 1 << int(v8.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
    if flavor == "tensorrt" and int(version.split(".")[0]) == 10:
        v10 = library
        return 1 << int(v10.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return 0


def _parse(trt: ModuleType, flavor: str, network: INetworkDefinition, logger: object, model: Path) -> None:
    parser = trt.OnnxParser(network, logger)
    if parser.parse_from_file(str(model)):
        return
    reasons = []
    for index in range(parser.num_errors):
        error: ParserError = parser.get_error(index)
        reasons.append(f"{_place(error, flavor)}{error.desc()}")
    raise ModelFileError(
        f"{model.name} cannot be parsed: {'; '.join(reasons) or 'no reason given'}. Fix: export it again from its "
        "checkpoint with export-onnx"
    )


def _place(error: Any, flavor: str) -> str:
    """The node of a parser error: its operator and name, or for TensorRT 8.6, which has neither, its number."""
    if flavor == "tensorrt-8":
        v8_error: V8ParserError = error
        return f"node {v8_error.node()}: " if v8_error.node() >= 0 else ""
    v10_error: V10ParserError = error
    return f"{v10_error.node_operator()} {v10_error.node_name()}: " if v10_error.node_name() else ""


def _add_profile(
    builder: Builder,
    network: INetworkDefinition,
    config: IBuilderConfig,
    shapes: Mapping[str, tuple[Shape, Shape, Shape]],
) -> None:
    inputs = {}
    for index in range(network.num_inputs):
        tensor: ITensor = network.get_input(index)
        inputs[tensor.name] = tuple(tensor.shape)
    for name, given in shapes.items():
        if name not in inputs:
            raise EngineError(f"--shapes: got the input {name!r}, expected one of {', '.join(inputs)}")
        for shape in given:
            fits = len(shape) == len(inputs[name]) and all(
                b in (-1, a) for a, b in zip(shape, inputs[name], strict=True)
            )
            if not fits:
                raise EngineError(f"--shapes: got {_times(shape)} for {name}, expected {_times(inputs[name])}")
    free = [name for name, shape in inputs.items() if -1 in shape]
    missing = [name for name in free if name not in shapes]
    if missing:
        one = _times(tuple(max(size, 1) for size in inputs[missing[0]]))
        raise EngineError(
            f"{missing[0]} has free sizes, {_times(inputs[missing[0]])}: got no range for them, expected one for each "
            f"of {', '.join(missing)}. Fix: --shapes {missing[0]}:{one}/{one}/{one} (MIN/OPT/MAX)"
        )
    if free:
        profile: IOptimizationProfile = builder.create_optimization_profile()
        for name in free:
            profile.set_shape(name, *shapes[name])
        config.add_optimization_profile(profile)


def _require_no_fp32_products(layers: tuple[Layer, ...], model: Path) -> None:
    """Raise EngineError for FP32 matrix products, which TensorRT-RTX 1.7 does not support for SM 7.5."""
    products = [layer for layer in layers if layer.kind == "matrix_multiply" and layer.precision == "float"]
    if products:
        places = ", ".join(list(dict.fromkeys(layer.place for layer in products))[:5])
        raise EngineError(
            f"TensorRT-RTX has no FP32 matrix products for SM 7.5: got {model.name} with products in {places}. Fix: "
            "convert it with --fp16, leave 7.5 out of --compute-capability, or build on a machine with that GPU with "
            "--flavor tensorrt"
        )


def _set_targets(rtx: ModuleType, config: RtxBuilderConfig, targets: tuple[str, ...]) -> None:
    config.num_compute_capabilities = len(targets)
    for index, target in enumerate(targets):
        config.set_compute_capability(rtx.ComputeCapability.__members__[f"SM{target.replace('.', '')}"], index)


def _set_compatibility(plain: ModuleType, config: PlainBuilderConfig, settings: Settings) -> None:
    if settings.version_compatible:
        config.set_flag(plain.BuilderFlag.VERSION_COMPATIBLE)
    if settings.hardware_compatible:
        config.hardware_compatibility_level = plain.HardwareCompatibilityLevel.AMPERE_PLUS


def _read_timing_cache(plain: ModuleType, config: PlainBuilderConfig, path: Path | None) -> list[str]:
    """Set the timing cache at `path`, or an empty one with a note if it is damaged or of another GPU."""
    if path is None:
        return []
    try:
        data = path.read_bytes()
    except OSError:
        data = b""  # the first build, or an unreadable file, which is reported when it is written
    cache = config.create_timing_cache(data)
    if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
        return []
    config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    return [f"the timing cache {path.name} is damaged or of another GPU or version; it is replaced"]


def _write_timing_cache(config: PlainBuilderConfig, path: Path) -> list[str]:
    """Write the cache; a failure becomes a note, since it only makes the next build slower."""
    cache: ITimingCache = config.get_timing_cache()
    try:
        make_folder(path.parent)
        with replacing(path) as temporary:
            temporary.write_bytes(memoryview(cache.serialize()))
    except OutputError as error:
        return [f"the timing cache is not written: {error}"]
    return []


def _progress_monitor(v10: ModuleType, on_phase: Callable[[str], None]) -> Any:
    base: Any = v10.IProgressMonitor

    class Monitor(base):  # type: ignore[misc]
        """Reports the outermost phase with its progress, and the innermost phase that runs in it."""

        def __init__(self) -> None:
            super().__init__()
            self.running: dict[str, tuple[int, int]] = {}  # phase -> steps done, all steps; in order of start

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            self.running[name] = (0, steps)
            self.report()

        def step_complete(self, name: str, step: int) -> bool:
            if name in self.running:
                self.running[name] = (step + 1, self.running[name][1])
            self.report()
            return True

        def phase_finish(self, name: str) -> None:
            self.running.pop(name, None)

        def report(self) -> None:
            if self.running:
                (outer, (done, steps)), *inner = self.running.items()
                on_phase(f"{outer} {done}/{steps}" + (f": {inner[-1][0]}" if inner else ""))

    return Monitor()


def _layers(trt: ModuleType, network: INetworkDefinition, types: Mapping[str, str]) -> Iterator[Layer]:
    producers: dict[str, Any] = {}
    for index in range(network.num_layers):
        layer: ILayer = network.get_layer(index)
        yield Layer(
            name=layer.name,
            kind=layer.type.name.lower(),
            precision=_precision(trt, layer, producers, types),
            flops=_flops(trt, layer),
            origin=layer.metadata,
        )
        for number in range(layer.num_outputs):
            output: ITensor = layer.get_output(number)
            producers[output.name] = layer


def _precision(trt: ModuleType, layer: ILayer, producers: Mapping[str, Any], types: Mapping[str, str]) -> str:
    """Return the type of the layer's first input, or that before a DequantizeLinear: the layer runs in INT8 then.

    types: tensor -> type, where the library does not know it.
    """
    first: ITensor | None = layer.get_input(0) if layer.num_inputs else layer.get_output(0)
    if first is None:
        return "none"
    producer: ILayer | None = producers.get(first.name)
    if producer is not None and producer.type == trt.LayerType.DEQUANTIZE:
        quantized: ITensor = producer.get_input(0)
        first = quantized
    return types.get(first.name) or str(first.dtype.name.lower())


def _flops(trt: ModuleType, layer: ILayer) -> int:
    """Count the FLOPs of a convolution or matrix product, with 1 for free sizes; 0 for other layers.

    The library returns every layer as ILayer; setting its class gives access to the attributes of the layer type.
    """
    if layer.type not in (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION, trt.LayerType.MATRIX_MULTIPLY):
        return 0
    first: ITensor = layer.get_input(0)
    output: ITensor = layer.get_output(0)
    if layer.type == trt.LayerType.MATRIX_MULTIPLY:
        layer.__class__ = trt.IMatrixMultiplyLayer
        product: IMatrixMultiplyLayer = layer
        summed = first.shape[-2 if product.op0 == trt.MatrixOperation.TRANSPOSE else -1]
        return 2 * _volume(output.shape) * max(int(summed), 1)
    if layer.type == trt.LayerType.DECONVOLUTION:
        layer.__class__ = trt.IDeconvolutionLayer
        transposed: IDeconvolutionLayer = layer
        channels = int(transposed.num_output_maps) // int(transposed.num_groups)
        return 2 * _volume(first.shape) * channels * _volume(transposed.kernel_size_nd)
    layer.__class__ = trt.IConvolutionLayer
    convolution: IConvolutionLayer = layer
    channels = int(first.shape[1]) // int(convolution.num_groups)
    return 2 * _volume(output.shape) * channels * _volume(convolution.kernel_size_nd)


def _volume(shape: Any) -> int:
    return prod(max(int(size), 1) for size in shape)


def _tensor(tensor: ITensor) -> Tensor:
    return Tensor(name=tensor.name, dtype=tensor.dtype.name.lower(), shape=tuple(int(size) for size in tensor.shape))
