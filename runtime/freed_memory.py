"""Memory of freed frames, kept by the process for the next ones."""

from __future__ import annotations

import ctypes
import os
import platform

# Parameters of mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGEST_MMAP_THRESHOLD = 32 << 20  # what glibc takes; 25 MB is an RGB frame of 3840x2160


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next frame, in this process and for good.

    By default glibc returns the memory of large frames to the system when they are freed, and the next frame waits for
    as many page faults again: a tenth of the processor time of `amc-infer` at 3840x2160. The peak of memory is the
    same. For programs of this package, not for its library: the setting is the process owner's. Nothing happens with
    other C libraries, or where `MALLOC_` variables of the environment or GLIBC_TUNABLES choose already.
    """
    chosen = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if chosen or platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_TOP_PAD, 64 << 20)
