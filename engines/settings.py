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
    """Return the TensorRT that is installed if there is a GPU, else "tensorrt-rtx", which needs no GPU."""
    installed = [flavor for flavor in ("tensorrt", "tensorrt-8") if flavor in machine.tensorrt]
    return installed[0] if installed and machine.has_gpu else "tensorrt-rtx"


def choose_settings(
    options: BuildOptions, machine: Machine, on_note: Callable[[str], None], *, fp16: bool = False
) -> Settings:
    """Return the settings of a build; `on_note` is called with one line for each choice.

    fp16: whether the file is in FP16, or will be. Raises EngineError for options that the flavor or this machine does
    not support.
    """
    flavor = options.flavor
    if flavor is None:
        flavor = default_flavor(machine)
        reason = "it is installed and there is a GPU" if flavor != "tensorrt-rtx" else "it builds without a GPU"
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
    elif flavor != "tensorrt-rtx" and timing_cache is None:
        timing_cache = default_timing_cache(machine, flavor)
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
    if flavor != "tensorrt-rtx":
        _require_gpu(flavor, machine)
    if flavor == "tensorrt-8" and fp16 and machine.compute_capability in api.SLOW_FP16:
        raise EngineError(
            f"--flavor tensorrt-8: got FP16 for {machine.gpu_name}, which "
            f"{api.SLOW_FP16[machine.compute_capability]}; expected FP32 or INT8. Fix: build from the FP32 file, "
            "without --fp16, or in INT8: --int8 --clips DIR"
        )
    return settings


def _require_gpu(flavor: str, machine: Machine) -> None:
    """Raise EngineError unless this machine has a GPU that `flavor` supports."""
    tensorrt8 = flavor == "tensorrt-8"
    supported = machine.fits_tensorrt8 if tensorrt8 else machine.has_gpu and not machine.is_too_old
    if supported:
        return
    found = machine.gpu_name if machine.has_gpu else "no GPU or no driver"
    oldest, newest = api.TENSORRT8_COMPUTE_CAPABILITIES
    expected = f"SM {oldest} to {newest}" if tensorrt8 else f"SM {api.OLDEST_COMPUTE_CAPABILITY} or later"
    fix = "build for other GPUs with --flavor tensorrt-rtx"
    if not tensorrt8 and machine.fits_tensorrt8:
        fix = f"build with TensorRT 8, which supports it: {api.INSTALL['tensorrt-8']}; then --flavor tensorrt-8"
    elif tensorrt8 and machine.has_gpu and not machine.is_too_old:
        fix = "build with --flavor tensorrt"
    raise EngineError(
        f"{api.NAMES[flavor]} cannot build here: got {found}, expected a GPU of {expected}. Fix: {fix}; amc-check "
        "lists the hardware of this machine"
    )


def default_timing_cache(machine: Machine, flavor: str) -> Path:
    """Return the path for this GPU and version of TensorRT: the library rejects caches of others."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "amcnet"
    version = machine.tensorrt.get(flavor, "unknown").replace(" ", "-")
    return folder / f"tensorrt-{version}-sm{machine.compute_capability}.timing"
