"""Choose flavor, GPUs and timing cache of a build where the options leave them open."""

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
    """Return "tensorrt" if TensorRT is installed and there is a GPU, else "tensorrt-rtx", which needs no GPU."""
    return "tensorrt" if "tensorrt" in machine.tensorrt and machine.has_gpu else "tensorrt-rtx"


def choose_settings(options: BuildOptions, machine: Machine, on_note: Callable[[str], None]) -> Settings:
    """Return the settings of a build; `on_note` is called with one line for each choice.

    Raises EngineError for options that the flavor or this machine does not support.
    """
    flavor = options.flavor
    if flavor is None:
        flavor = default_flavor(machine)
        reason = "it is installed and there is a GPU" if flavor == "tensorrt" else "it builds without a GPU"
        if flavor == "tensorrt-rtx" and machine.has_gpu:
            reason = "TensorRT is not installed"
        on_note(f"building with {api.NAMES[flavor]}: {reason} (change it with --flavor)")
    if flavor not in api.MODULES:
        raise EngineError(f"--flavor: got {flavor!r}, expected {' or '.join(api.MODULES)}")
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
        on_note(f"building for SM {', '.join(targets)} (change it with --compute-capability)")
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
        found = machine.gpu_name if machine.has_gpu else "no GPU or no driver"
        raise EngineError(
            f"TensorRT cannot build here: got {found}, expected a GPU of SM {api.OLDEST_COMPUTE_CAPABILITY} or later. "
            "Fix: build for other GPUs with --flavor tensorrt-rtx; amc-check lists the hardware of this machine"
        )
    return settings


def default_timing_cache(machine: Machine) -> Path:
    """Return the path for this GPU and TensorRT version: the library rejects caches of others."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "amcnet"
    version = machine.tensorrt.get("tensorrt", "unknown").replace(" ", "-")
    return folder / f"tensorrt-{version}-sm{machine.compute_capability}.timing"
