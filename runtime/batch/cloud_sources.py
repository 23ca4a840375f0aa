"""Videos at addresses: a file, all files below a folder of a bucket, or those that match a pattern."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from .cloud import file_name, is_http, list_files, path_of
from .video import Video

_WILDCARDS = "*?["


def find_at(source: str, output: str | Path, is_video: Callable[[str], bool]) -> Iterator[Video]:
    """The videos at the address `source`, named relative to it, or to its part without wildcards; sorted.

    A web server's address is one video, or a folder whose page links to its files if it ends in /. Not found: hidden
    files, overlays of earlier runs, and what lies below `output`. Raises InputError for an address where there is
    nothing, or that refuses access.
    """
    if is_http(source) and not source.endswith("/"):
        yield Video.make(source, file_name(source))
        return
    root, pattern = (source, "") if is_http(source) else _split(source.rstrip("/"))
    found = list_files(root, pattern)
    if found == [root]:
        yield Video.make(root, file_name(root))
        return
    files = set(found)
    for url in found:
        relative = path_of(url).removeprefix(path_of(root)).lstrip("/")
        hidden = any(part.startswith(".") for part in PurePosixPath(relative).parts)
        earlier = file_name(url) == "overlay.mp4" and f"{url.rpartition('/')[0]}/run.json" in files
        if is_video(file_name(url)) and not hidden and not earlier and not url.startswith(f"{output}/"):
            yield Video.make(url, relative)


def _split(source: str) -> tuple[str, str]:
    """`s3://bucket/day*/a.mp4` to `s3://bucket` and `day*/a.mp4`."""
    root = source
    while any(wildcard in root for wildcard in _WILDCARDS):
        root = root.rpartition("/")[0]
    return root, source.removeprefix(root).lstrip("/")
