"""The devices that run ONNX files, and CPU information: name, available cores, INT8 instructions."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path

DEVICES = ("cpu", "cuda")


def available_cores() -> int:
    """Return the number of logical CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Dot products of four INT8 values. Without them INT8 kernels accumulate in 16 bits, are no faster than FP32, and can
# overflow.
_INT8_X86 = {"avx512_vnni", "avx_vnni"}
_INT8_ARM = {"asimddp", "i8mm"}


def multiplies_int8(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the CPU has INT8 dot products: VNNI (x86) or ASIMDDP/I8MM (Arm).

    cpuinfo: the file that lists the CPU's features. False where it does not exist (Windows, macOS).
    """
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    features = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return bool((_INT8_X86 | _INT8_ARM) & set(features.split()))


def processor_name() -> str:
    """Return the CPU's model name, or its architecture where the system provides no name."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
