"""The bytes that the outputs of a run will take, compared with those that are free."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from ..errors import OutputError
from ..files.atomic import cannot_write
from .kinds import KINDS

_DEMO_PIXELS = 854 * 480


def estimate_bytes(kinds: Iterable[str], *, frames: int, width: int, height: int) -> dict[str, int]:
    """Bytes of each of `kinds` for `frames` of `width` x `height` px, each pixel as large as in the demo footage.

        estimate_bytes(["alpha-prores"], frames=1000, width=1920, height=1080)  # {"alpha-prores": 609016320}

    Other footage takes more or less. Explanations are images and lines of the same size for every frame.
    """
    pixels = {kind: _DEMO_PIXELS if KINDS[kind].explains else width * height for kind in kinds}
    return {kind: round(KINDS[kind].bytes_per_pixel * frames * count) for kind, count in pixels.items()}


def free_bytes(folder: Path) -> int:
    """Bytes that are free where `folder` is or will be. Raises OutputError."""
    try:
        above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        return shutil.disk_usage(above).free
    except OSError as error:
        raise cannot_write(folder, error) from error


def require_space(folder: Path, estimated: dict[str, int], *, held: int = 0) -> None:
    """Raises OutputError if `estimated` is more than what is free, and the `held` bytes that will be replaced."""
    free, needed = free_bytes(folder) + held, sum(estimated.values())
    if needed > free:
        raise OutputError(
            f"{folder} needs about {describe(estimated)}; got {in_units(free)} free. Fix: free some space, write less "
            "with --write, take fewer frames with --frames, or choose another folder with -o"
        )


def describe(estimated: dict[str, int]) -> str:
    """ "5.1 GiB (alpha-prores 5.0 GiB, masks 12.0 MiB)", the largest first."""
    parts = sorted(estimated.items(), key=lambda part: -part[1])
    listed = ", ".join(f"{kind} {in_units(size)}" for kind, size in parts)
    return f"{in_units(sum(estimated.values()))} ({listed})"


def in_units(size: float) -> str:
    """A number of bytes in MiB, or in GiB from 1 GiB on."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
