"""The timing cache of TensorRT, a file with measured times that makes the next build faster."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ..runtime.errors import OutputError
from ..runtime.files.atomic import make_folder, replacing

if TYPE_CHECKING:
    from tensorrt import IBuilderConfig as PlainBuilderConfig
    from tensorrt import ITimingCache


def read_timing_cache(plain: ModuleType, config: PlainBuilderConfig, path: Path | None) -> list[str]:
    """Set the timing cache at `path`, or an empty one with a note if it is damaged or of another GPU."""
    if path is None:
        return []
    try:
        data = path.read_bytes()
    except OSError:
        data = b""  # the first build, or an unreadable file, which is reported when it is written
    cache = config.create_timing_cache(data)
    if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
        return []
    config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    return [f"the timing cache {path.name} is damaged or of another GPU or version; it is replaced"]


def write_timing_cache(config: PlainBuilderConfig, path: Path) -> list[str]:
    """Write the cache; a failure becomes a note, since it only makes the next build slower."""
    cache: ITimingCache = config.get_timing_cache()
    try:
        make_folder(path.parent)
        with replacing(path) as temporary:
            temporary.write_bytes(memoryview(cache.serialize()))
    except OutputError as error:
        return [f"the timing cache is not written: {error}"]
    return []
