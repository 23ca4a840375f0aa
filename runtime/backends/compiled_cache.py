"""Cache of compiled networks in the user's cache folder.

OpenVINO compiles the light INT8 network in 3.6 s and reads it back in 0.7 s. Its own CACHE_DIR does not detect changed
bytes in the middle of a cached file, which lead to wrong masks; files here begin with the SHA-256 of their content.
They are written atomically, so that several processes may use the cache at the same time.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..files.atomic import replacing

MOST_BYTES = 256 * 2**20  # of all files; the light network takes 8 MiB in INT8 and 18 in FP32
_DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True)
class CompiledCache:
    """Cached files in `folder`, which is created when needed. None, or a folder that cannot be used: no cache."""

    folder: Path | None

    @classmethod
    def of_user(cls) -> CompiledCache:
        """The cache in the system's folder for caches."""
        try:
            return cls(_users_cache() / "amcnet" / "openvino")
        except RuntimeError:  # no home folder is known
            return cls(None)

    def read(self, key: dict[str, Any]) -> bytes | None:
        """Content that was written for an equal `key`; None if there is none, or if it was changed since."""
        if self.folder is None:
            return None
        path = self.folder / _name(key)
        try:
            if hasattr(os, "getuid") and path.stat().st_uid != os.getuid():
                return None  # another user's file would be executed
            stored = path.read_bytes()
            path.touch()  # marks the file as used, for _remove_oldest
        except OSError:
            return None
        digest, content = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
        return content if hashlib.sha256(content).digest() == digest else None

    def write(self, key: dict[str, Any], content: bytes) -> None:
        """Store `content`, and remove the least recently used files beyond MOST_BYTES. Errors are ignored."""
        if self.folder is None or len(content) > MOST_BYTES:
            return
        with suppress(OutputError, OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with replacing(self.folder / _name(key)) as temporary, temporary.open("wb") as file:
                file.write(hashlib.sha256(content).digest())
                file.write(content)
            self._remove_oldest()

    def _remove_oldest(self) -> None:
        assert self.folder is not None
        kept_bytes = 0
        for _, path, size in sorted(
            ((stat.st_mtime, path, stat.st_size) for path in self.folder.iterdir() if (stat := path.stat())),
            reverse=True,
        ):
            kept_bytes += size
            if kept_bytes > MOST_BYTES:
                path.unlink()


def _name(key: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32] + ".compiled"


def _users_cache() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    # The specification of XDG_CACHE_HOME says that relative paths are ignored.
    given = os.environ.get("XDG_CACHE_HOME", "")
    return Path(given) if os.path.isabs(given) else Path.home() / ".cache"
