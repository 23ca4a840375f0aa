"""Notes on the names of an image sequence: gaps in the numbering, numbers that come twice, masks among the images."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

_SECONDARY = re.compile(r"[-_. ]?(mask|masks|matte|alpha|seg|segmentation|label|gt|overlay|depth)$", re.IGNORECASE)
_SHOWN = 3


def numbering_notes(name: str, paths: list[Path]) -> list[str]:
    """Sentences about the images `paths` of the source `name`; none for a sequence without gaps."""
    notes = []
    images = {(path.parent, path.stem) for path in paths if not _SECONDARY.search(path.stem)}
    others = [path for path in paths if _SECONDARY.search(path.stem)]
    secondary = [path for path in others if (path.parent, _SECONDARY.sub("", path.stem)) in images]
    if secondary:
        notes.append(
            f"{name}: {_few(secondary)} look like masks of the other images and are read as frames. "
            "Fix: name the images by a quoted pattern, e.g. 'frames/*.jpg'"
        )
    series = _series([path for path in paths if path not in secondary])
    twice = [path for numbered in series.values() for same in numbered.values() if len(same) > 1 for path in same]
    if twice:
        notes.append(f"{name}: {_few(twice)} have the same number; each is a frame of its own")
    longest = max(series.values(), key=lambda numbered: len(numbered), default={})
    numbers = sorted(longest)
    missing = numbers[-1] - numbers[0] + 1 - len(numbers) if numbers else 0
    # Numbers in steps (every 5th frame, times in ms) are no gaps.
    steps = [after - before for before, after in pairwise(numbers)]
    if missing and min(steps) < max(steps):
        step = min(steps)
        gaps = [f"{before} to {after}" for before, after in pairwise(numbers) if after - before > step]
        shown = ", ".join(gaps[:_SHOWN]) + (f" and {len(gaps) - _SHOWN} more" if len(gaps) > _SHOWN else "")
        notes.append(f"{name}: the numbering has gaps ({shown}); the images are read as consecutive frames")
    return notes


def _series(paths: list[Path]) -> dict[str, dict[int, list[Path]]]:
    """The images by the text before their last number, then by that number."""
    series: dict[str, dict[int, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in paths:
        match = re.fullmatch(r"(.*?)(\d+)(\D*)", path.stem)
        if match:
            series[f"{path.parent}/{match[1]}*{match[3]}"][int(match[2])].append(path)
    return series


def _few(paths: list[Path]) -> str:
    shown = ", ".join(path.name for path in paths[:_SHOWN])
    return shown + (f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")
