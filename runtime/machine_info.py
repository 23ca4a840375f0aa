"""The devices that run ONNX files, and CPU information: name, available cores, INT8 and BF16 instructions."""

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
# Products of BF16 values, added up in FP32.
_BF16_X86 = {"avx512_bf16", "amx_bf16"}
_BF16_ARM = {"bf16"}
_CPUINFO = Path("/proc/cpuinfo")


def multiplies_int8(cpuinfo: Path = _CPUINFO) -> bool:
    """Return whether the CPU has INT8 dot products: VNNI (x86) or ASIMDDP/I8MM (Arm).

    cpuinfo: the file that lists the CPU's features. False where it does not exist (Windows, macOS).
    """
    return bool((_INT8_X86 | _INT8_ARM) & _features(cpuinfo))


def multiplies_bf16(cpuinfo: Path = _CPUINFO) -> bool:
    """Return whether the CPU has BF16 products: AVX512-BF16, AMX-BF16 (x86) or BF16 (Arm). As `multiplies_int8`."""
    return bool((_BF16_X86 | _BF16_ARM) & _features(cpuinfo))


def is_arm() -> bool:
    """Return whether the CPU is a 64-bit Arm."""
    return platform.machine().lower() in ("aarch64", "arm64")


def is_amd(cpuinfo: Path = _CPUINFO) -> bool:
    """Return whether the CPU is made by AMD. As `multiplies_int8`."""
    try:
        return "AuthenticAMD" in cpuinfo.read_text()
    except OSError:
        return False


def _features(cpuinfo: Path) -> set[str]:
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.lower().startswith(("flags", "features"))), "").split())


def processor_name() -> str:
    """Return the CPU's model name, or its architecture where the system provides no name."""
    with suppress(OSError):
        for line in _CPUINFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
