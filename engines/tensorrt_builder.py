"""The one file that knows TensorRT's flavors and versions: TensorRT 10, TensorRT 11 and TensorRT-RTX.

What differs:

               TensorRT 10               TensorRT 11    TensorRT-RTX
    typing     the flag STRONGLY_TYPED   always         always
    targets    the GPU that is there     the same       compute capabilities; needs no GPU
    timing     a cache                   a cache        none: asking for one would need a GPU
    recording  after a first run         the same       the context says whether it can be recorded

The name of a module variable says what its attributes ask for, and a test holds the real libraries against it: `trt`
is any of the three, `plain` TensorRT 10 and 11, `rtx` TensorRT-RTX; so do the types of all that they make. Building
may abort the process: it is done in a process of its own (see build_process.py). An engine is run in the caller's.
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
from ..runtime.trt.api import RTX_COMPUTE_CAPABILITIES, SM75, Shape, Tensor, _load, _times
from ..runtime.trt.precision_report import Layer

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
    from tensorrt_rtx import IBuilderConfig as RtxBuilderConfig


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a build is asked for. `shapes`: name of an input -> its least, usual and greatest shape, for free sizes."""

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
    """A serialized engine and the network it was made from."""

    data: memoryview
    version: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    layers: tuple[Layer, ...]
    notes: tuple[str, ...]


def check(settings: Settings) -> None:
    """Raises EngineError for settings that the flavor does not have. Needs no library."""
    if settings.flavor == "tensorrt-rtx":
        for asked, flag, reason in (
            (settings.version_compatible, "--version-compatible", "its engines fit the release that built them"),
            (settings.hardware_compatible, "--hardware-compatible", "its engines fit the GPUs they are built for"),
        ):
            if asked:
                raise EngineError(
                    f"TensorRT-RTX has no {flag}: {reason}; name the GPUs instead: --compute-capability 8.6 8.9"
                )
        for target in settings.compute_capability:
            if target not in RTX_COMPUTE_CAPABILITIES:
                known = ", ".join(RTX_COMPUTE_CAPABILITIES)
                raise EngineError(f"TensorRT-RTX does not build for compute capability {target}; expected of {known}")
    elif settings.compute_capability:
        raise EngineError(
            "TensorRT builds for the GPU that is there, not for a --compute-capability; leave it out, or build for "
            "other GPUs with --flavor tensorrt-rtx or --hardware-compatible"
        )


def build_plan(model: Path, settings: Settings, on_phase: Callable[[str], None]) -> Plan | None:
    """Parse `model` and build its engine; None if the library built none: its log says why.

    `on_phase` gets lines such as "Building engine 2/6: Timing tactics".
    TF32 is off, though TensorRT's default is on: it has FP16's ten bits, and the float of a typed file is float for a
    reason. Raises BackendError without the library, ModelFileError with the parser's words, EngineError.
    """
    trt, version = _load(settings.flavor)
    logger = trt.Logger(trt.Logger.INFO)
    builder = trt.Builder(logger)
    network: INetworkDefinition = builder.create_network(_network_flags(trt, settings.flavor, version))
    _parse(trt, network, logger, model)
    layers = tuple(_layers(trt, network))
    if settings.flavor == "tensorrt-rtx" and SM75 in settings.compute_capability:
        _require_turing(layers, model)
    config: IBuilderConfig = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for the engine inspector: see inspector.py
    if settings.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mib << 20)
    if settings.optimization_level is not None:
        config.builder_optimization_level = settings.optimization_level
    config.progress_monitor = _progress_monitor(trt, on_phase)
    _add_profile(builder, network, config, settings.shapes)
    notes: list[str] = []
    if settings.flavor == "tensorrt-rtx":
        _set_targets(trt, config, settings.compute_capability)
        if settings.timing_cache is not None:
            notes.append("TensorRT-RTX has no timing cache; --timing-cache is left out")
    else:
        _set_compatibility(trt, config, settings)
        notes += _read_timing_cache(trt, config, settings.timing_cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        return None
    if settings.flavor == "tensorrt" and settings.timing_cache is not None:
        notes += _write_timing_cache(config, settings.timing_cache)
    return Plan(
        data=memoryview(plan),
        version=version,
        inputs=tuple(_tensor(network.get_input(index)) for index in range(network.num_inputs)),
        outputs=tuple(_tensor(network.get_output(index)) for index in range(network.num_outputs)),
        layers=layers,
        notes=tuple(notes),
    )


def _network_flags(plain: ModuleType, flavor: str, version: str) -> int:
    if flavor == "tensorrt" and int(version.split(".")[0]) == 10:
        return 1 << int(plain.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return 0


def _parse(trt: ModuleType, network: INetworkDefinition, logger: object, model: Path) -> None:
    parser = trt.OnnxParser(network, logger)
    if parser.parse_from_file(str(model)):
        return
    reasons = []
    for index in range(parser.num_errors):
        error: ParserError = parser.get_error(index)
        where = f"{error.node_operator()} {error.node_name()}: " if error.node_name() else ""
        reasons.append(f"{where}{error.desc()}")
    raise ModelFileError(
        f"{model.name} cannot be parsed: {'; '.join(reasons) or 'no reason given'}; expected a file made by "
        "export-onnx; export it again from its checkpoint"
    )


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
            raise EngineError(f"--shapes names {name!r}; the inputs are {', '.join(inputs)}")
        for shape in given:
            fits = len(shape) == len(inputs[name]) and all(
                b in (-1, a) for a, b in zip(shape, inputs[name], strict=True)
            )
            if not fits:
                raise EngineError(f"--shapes gives {name} {_times(shape)}; the file has {_times(inputs[name])}")
    free = [name for name, shape in inputs.items() if -1 in shape]
    missing = [name for name in free if name not in shapes]
    if missing:
        one = _times(tuple(max(size, 1) for size in inputs[missing[0]]))
        raise EngineError(
            f"{missing[0]} has free sizes, {_times(inputs[missing[0]])}, and no range for them; "
            f"give one for each of {', '.join(missing)}: --shapes {missing[0]}:{one}/{one}/{one} (least/usual/greatest)"
        )
    if free:
        profile: IOptimizationProfile = builder.create_optimization_profile()
        for name in free:
            profile.set_shape(name, *shapes[name])
        config.add_optimization_profile(profile)


def _require_turing(layers: tuple[Layer, ...], model: Path) -> None:
    """EngineError for what the compiler of TensorRT-RTX 1.7 refuses for SM 7.5: matrix products in float."""
    wide = [layer for layer in layers if layer.kind == "matrix_multiply" and layer.precision == "float"]
    if wide:
        places = ", ".join(list(dict.fromkeys(layer.place for layer in wide))[:5])
        raise EngineError(
            f"TensorRT-RTX multiplies no matrices in float on SM 7.5, and {model.name} does so in {places}; "
            "convert it with --fp16, leave 7.5 out of --compute-capability, or build on a machine with that GPU: "
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
    """Give the config the cache at `path`, or an empty one with a note: a foreign cache is no reason not to build."""
    if path is None:
        return []
    try:
        data = path.read_bytes()
    except OSError:
        data = b""  # the first build, or a file that cannot be read: writing it will say so
    cache = config.create_timing_cache(data)
    if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
        return []
    config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    return [f"the timing cache {path.name} is damaged or of another GPU or version; it is made anew"]


def _write_timing_cache(config: PlainBuilderConfig, path: Path) -> list[str]:
    """A cache that cannot be written costs the next build time, and is no reason to throw this one away."""
    cache: ITimingCache = config.get_timing_cache()
    try:
        make_folder(path.parent)
        with replacing(path) as temporary:
            temporary.write_bytes(memoryview(cache.serialize()))
    except OutputError as error:
        return [f"the timing cache is not kept: {error}"]
    return []


def _progress_monitor(trt: ModuleType, on_phase: Callable[[str], None]) -> Any:
    base: Any = trt.IProgressMonitor

    class Monitor(base):  # type: ignore[misc]
        """Tells of the outermost phase and how far it is, and of the innermost that runs in it."""

        def __init__(self) -> None:
            super().__init__()
            self.running: dict[str, tuple[int, int]] = {}  # phase -> steps done, steps; in the order they began

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            self.running[name] = (0, steps)
            self.tell()

        def step_complete(self, name: str, step: int) -> bool:
            if name in self.running:
                self.running[name] = (step + 1, self.running[name][1])
            self.tell()
            return True

        def phase_finish(self, name: str) -> None:
            self.running.pop(name, None)

        def tell(self) -> None:
            if self.running:
                (outer, (done, steps)), *inner = self.running.items()
                on_phase(f"{outer} {done}/{steps}" + (f": {inner[-1][0]}" if inner else ""))

    return Monitor()


def _layers(trt: ModuleType, network: INetworkDefinition) -> Iterator[Layer]:
    producers: dict[str, Any] = {}
    for index in range(network.num_layers):
        layer: ILayer = network.get_layer(index)
        yield Layer(
            name=layer.name,
            kind=layer.type.name.lower(),
            precision=_precision(trt, layer, producers),
            flops=_flops(trt, layer),
            origin=layer.metadata,
        )
        for number in range(layer.num_outputs):
            output: ITensor = layer.get_output(number)
            producers[output.name] = layer


def _precision(trt: ModuleType, layer: ILayer, producers: Mapping[str, Any]) -> str:
    """The type of the layer's first input, seen through a DequantizeLinear: a convolution behind one runs in int8."""
    first: ITensor | None = layer.get_input(0) if layer.num_inputs else layer.get_output(0)
    if first is None:
        return "none"
    producer: ILayer | None = producers.get(first.name)
    if producer is not None and producer.type == trt.LayerType.DEQUANTIZE:
        quantized: ITensor = producer.get_input(0)
        return str(quantized.dtype.name.lower())
    return str(first.dtype.name.lower())


def _flops(trt: ModuleType, layer: ILayer) -> int:
    """Twice the multiplications of a convolution or matrix product, one item of a free batch; 0 for all others.

    The library gives every layer as an ILayer; its class is set to the one that has the layer's own attributes.
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
