"""Parsing and building with TensorRT 8.6, 10 and 11 and TensorRT-RTX, whose differences are these:

                      TensorRT 8.6           TensorRT 10            TensorRT 11    TensorRT-RTX
    types of tensors  tensorrt8_builder.py   flag STRONGLY_TYPED    of the file    of the file
    batch dimension   flag EXPLICIT_BATCH    explicit               explicit       explicit
    progress          no                     yes                    yes            yes
    targets           GPU of the machine     same                   same           compute capabilities; needs no GPU
    timing cache      yes                    yes                    yes            no (it would need a GPU)

The name of a module variable defines the libraries that must have its attributes: `trt` all four, `plain` TensorRT
8.6, 10 and 11, `v8` TensorRT 8.6, `v10` TensorRT 10, 11 and TensorRT-RTX, `rtx` TensorRT-RTX. A test verifies that
against the real bindings. A build may abort the process and is run in a child process (build_process.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ..runtime.errors import EngineError, ModelFileError
from ..runtime.trt.api import NAMES, RTX_COMPUTE_CAPABILITIES, SM75, Shape, Tensor, _load, _times
from ..runtime.trt.precision_report import Layer
from . import tensorrt8_builder
from .build_progress import progress_monitor
from .parsed_layers import parsed_layers
from .timing_cache import read_timing_cache, write_timing_cache

if TYPE_CHECKING:
    from tensorrt import (
        Builder,
        IBuilderConfig,
        INetworkDefinition,
        IOptimizationProfile,
        ITensor,
        ParserError,
    )
    from tensorrt import IBuilderConfig as PlainBuilderConfig
    from tensorrt import IBuilderConfig as V10BuilderConfig
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
    types = tensorrt8_builder.file_types(model) if settings.flavor == "tensorrt-8" else {}
    layers = tuple(parsed_layers(trt, network, types))
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
        tensorrt8_builder.constrain(trt, network, config, types)
    else:
        v10_config: V10BuilderConfig = config
        v10_config.progress_monitor = progress_monitor(trt, on_phase)
    _add_profile(builder, network, config, settings.shapes)
    notes: list[str] = []
    if settings.flavor == "tensorrt-rtx":
        _set_targets(trt, config, settings.compute_capability)
        if settings.timing_cache is not None:
            notes.append("TensorRT-RTX does not support --timing-cache; it is ignored")
    else:
        _set_compatibility(trt, config, settings)
        notes += read_timing_cache(trt, config, settings.timing_cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        return None
    if settings.flavor != "tensorrt-rtx" and settings.timing_cache is not None:
        notes += write_timing_cache(config, settings.timing_cache)
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
        return tensorrt8_builder.network_flags(library)
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
        place = tensorrt8_builder.error_place(error) if flavor == "tensorrt-8" else _error_place(error)
        reasons.append(f"{place}{error.desc()}")
    raise ModelFileError(
        f"{model.name} cannot be parsed: {'; '.join(reasons) or 'no reason given'}. Fix: export it again from its "
        "checkpoint with export-onnx"
    )


def _error_place(error: V10ParserError) -> str:
    """The operator and name of the node, as the beginning of a message."""
    return f"{error.node_operator()} {error.node_name()}: " if error.node_name() else ""


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


def _tensor(tensor: ITensor) -> Tensor:
    return Tensor(name=tensor.name, dtype=tensor.dtype.name.lower(), shape=tuple(int(size) for size in tensor.shape))
