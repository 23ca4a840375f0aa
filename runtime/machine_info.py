"""The processor of this machine: its name, its cores, its 8-bit instructions."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path


def available_cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Dot products of four bytes at once. Without them 8-bit kernels add up in 16 bits: no faster, and they overflow.
_INT8_X86 = {"avx512_vnni", "avx_vnni"}
_INT8_ARM = {"asimddp", "i8mm"}


def multiplies_int8(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has VNNI (x86) or dot products (Arm), as far as the system tells; else False."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    features = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return bool((_INT8_X86 | _INT8_ARM) & set(features.split()))


def processor_name() -> str:
    """The processor's name, as far as the system tells it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
