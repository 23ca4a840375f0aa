"""Identity of a source file, compared before a run is resumed."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

_END_BYTES = 1 << 20


def source_file(path: Path, *, is_copy: bool = False) -> dict[str, int | str | None]:
    """Size, time of modification and SHA-256 of the first and the last MiB of the file at `path`; None for others.

    is_copy: the file was downloaded, so that its time of modification means nothing: it is None.
    """
    if not path.is_file():
        return {"source_bytes": None, "source_modified": None, "source_ends_sha256": None}
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_END_BYTES))
        size = file.seek(0, 2)
        file.seek(max(min(size, _END_BYTES), size - _END_BYTES))
        digest.update(file.read(_END_BYTES))
    modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return {
        "source_bytes": size,
        "source_modified": None if is_copy else modified.isoformat(timespec="microseconds"),
        "source_ends_sha256": digest.hexdigest(),
    }
