"""What an engine is built with and for where its options leave that open: flavor, GPUs, timing cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.errors import EngineError
from ..runtime.trt import api
from ..runtime.trt.machine import Machine
from . import tensorrt_builder
from .tensorrt_builder import Settings

if TYPE_CHECKING:
    from .build_options import BuildOptions


def default_flavor(machine: Machine) -> str:
    """TensorRT where it is installed and a GPU is there, else TensorRT-RTX, which needs no GPU to build."""
    return "tensorrt" if "tensorrt" in machine.tensorrt and machine.has_gpu else "tensorrt-rtx"


def choose_settings(options: BuildOptions, machine: Machine, on_note: Callable[[str], None]) -> Settings:
    """What the library is asked for; `on_note` gets a line for each choice. EngineError for what cannot be built."""
    flavor = options.flavor
    if flavor is None:
        flavor = default_flavor(machine)
        reason = "it is installed and a GPU is there" if flavor == "tensorrt" else "it builds without a GPU"
        if flavor == "tensorrt-rtx" and machine.has_gpu:
            reason = "TensorRT is not installed"
        on_note(f"building with {api.NAMES[flavor]}: {reason} (--flavor chooses)")
    if flavor not in api.MODULES:
        raise EngineError(f"the flavor {flavor!r} is unknown; expected {' or '.join(api.MODULES)}")
    targets = options.compute_capability
    timing_cache = options.timing_cache
    if flavor == "tensorrt-rtx" and not targets:
        known = machine.compute_capability in api.RTX_COMPUTE_CAPABILITIES
        outside = machine.compute_capability not in api.RTX_DEFAULT_COMPUTE_CAPABILITIES
        targets = (
            (machine.compute_capability,)
            if machine.compute_capability is not None and known and outside
            else api.RTX_DEFAULT_COMPUTE_CAPABILITIES
        )
        on_note(f"for SM {', '.join(targets)} (--compute-capability chooses)")
    elif flavor == "tensorrt" and timing_cache is None:
        timing_cache = default_timing_cache(machine)
    settings = Settings(
        flavor=flavor,
        shapes=options.shapes,
        compute_capability=targets,
        timing_cache=timing_cache,
        version_compatible=options.version_compatible,
        hardware_compatible=options.hardware_compatible,
        workspace_mib=options.workspace_mib,
        optimization_level=options.optimization_level,
    )
    tensorrt_builder.check(settings)
    if flavor == "tensorrt" and (machine.is_too_old or not machine.has_gpu):
        found = machine.gpu_name if machine.has_gpu else "no GPU or no driver was found"
        raise EngineError(
            f"TensorRT builds on the GPU that the engine is for, of SM {api.OLDEST_COMPUTE_CAPABILITY} or "
            f"later; {found}; build for other GPUs with --flavor tensorrt-rtx (amc-check says what is here)"
        )
    return settings


def default_timing_cache(machine: Machine) -> Path:
    """One file for each GPU and version: caches of others are refused by the library."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "amcnet"
    version = machine.tensorrt.get("tensorrt", "unknown").replace(" ", "-")
    return folder / f"tensorrt-{version}-sm{machine.compute_capability}.timing"
