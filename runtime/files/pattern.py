"""Files that a glob pattern matches."""

from __future__ import annotations

import glob
from pathlib import Path

from ..errors import InputError


def matching_paths(pattern: str) -> list[Path]:
    """The files and folders that `pattern` matches, hidden ones only where it names them; `**` follows no links.

        matching_paths("shots/**/*.png")

    glob.glob follows links to folders: with one that leads back up it does not end. Raises InputError.
    """
    if "**" not in pattern:
        return [Path(match) for match in glob.glob(pattern)]
    parts = Path(pattern).parts
    fixed = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:fixed])
    below = [*parts[fixed:], "*"] if parts[-1] == "**" else parts[fixed:]  # `**` at the end finds folders only
    try:
        found = list(base.glob(str(Path(*below))))
    except ValueError as error:  # `a**b`
        raise InputError(
            f"{pattern}: got an invalid pattern ({error}), expected one such as 'frames/**/*.png'"
        ) from error
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(base).parts)]
