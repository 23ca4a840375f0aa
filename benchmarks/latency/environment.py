"""Environment of a measurement: machine, system and library versions."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ...runtime.machine_info import available_cores, processor_name
from ...runtime.trt.machine import this_machine
from ...runtime.version import __version__

_PACKAGES = ("numpy", "opencv-python-headless", "av", "onnxruntime", "onnxruntime-gpu", "openvino", "torch", "onnx")


def environment() -> dict[str, Any]:
    """The entry "environment" of report.json."""
    machine = this_machine()
    return {
        "processor": processor_name(),
        "cores": available_cores(),
        "architecture": platform.machine(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.release()}",
        "gpu": machine.gpu_name if machine.has_gpu else None,
        "driver": machine.driver,
        "versions": {"amcnet": __version__, "python": platform.python_version()} | _installed(),
    }


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def _installed() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
