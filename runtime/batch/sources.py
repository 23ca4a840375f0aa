"""Find the videos that the sources of `amc-batch` name: files, folders, glob patterns and lists."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from ..files.pattern import matching_paths
from ..output.kinds import KINDS
from ..video.image_source import is_image
from ..video.video_stream import SUFFIXES, is_video
from .cloud import is_url
from .cloud_sources import find_at
from .lists import is_list, read_list
from .video import Video

_WILDCARDS = "*?["


def find_videos(sources: tuple[str, ...], output: str | Path, *, image_folders: bool = False) -> list[Video]:
    """The videos of all sources, in their order; folders and patterns sorted by name.

    A folder is searched to any depth for files with one of `SUFFIXES`. Not searched: `output`, hidden entries, linked
    folders, and the outputs of earlier runs. With `image_folders`, folders that directly hold images are found
    instead, and each is one clip. Addresses are read through fsspec, see `find_at`. Raises InputError for a source that
    is missing, unreadable, or holds no video.
    """
    videos = []
    for source in sources:
        found = list(_find(source, output if is_url(output) else os.path.abspath(output), image_folders))
        if not found:
            raise InputError(f"{source}: no videos were found; {_expected(source, image_folders)}")
        videos += found
    return videos


def _find(source: str, output: str | Path, image_folders: bool) -> Iterator[Video]:
    if is_url(source) and image_folders:
        raise InputError(
            f"{source}: folders of images are not read from addresses; expected a path. Fix: copy them here"
        )
    if source == "-" or (is_list(source) and (is_url(source) or os.path.isfile(source))):
        yield from read_list(source, image_folders=image_folders)
    elif is_url(source):
        yield from find_at(source, output, is_video)
    elif os.path.isdir(source):
        yield from _in_folder(source, source, output, image_folders)
    elif os.path.isfile(source):
        yield Video.make(os.path.abspath(source), os.path.basename(source))
    elif any(wildcard in source for wildcard in _WILDCARDS):
        yield from _matching(source, output, image_folders)
    else:
        raise InputError(
            f"{source}: there is no such file or folder; expected a video, a folder, a quoted pattern or a list"
        )


def _in_folder(folder: str, root: str, output: str | Path, image_folders: bool) -> Iterator[Video]:
    """The videos below `folder`, named relative to `root`."""

    def unreadable(error: OSError) -> None:
        raise InputError(f"{error.filename}: the folder cannot be read ({error.strerror}). Fix: chmod u+rx") from error

    for path, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.abspath(os.path.join(path, name)) != str(output)
        )
        relative = os.path.relpath(path, root)
        if image_folders:
            if any(is_image(Path(name)) for name in files) and not _is_run(path):
                name = os.path.basename(os.path.abspath(path)) if relative == "." else relative
                yield Video.make(os.path.abspath(path), name, is_folder=True)
            continue
        earlier_outputs = {kind.path for kind in KINDS.values()} if "run.json" in files else set()
        for name in sorted(set(files) - earlier_outputs):
            if is_video(name):
                inside = os.path.normpath(os.path.join(relative, name))
                yield Video.make(os.path.abspath(os.path.join(path, name)), inside)


def _matching(pattern: str, output: str | Path, image_folders: bool) -> Iterator[Video]:
    """The matches of `pattern`, named relative to its last folder without a wildcard."""
    root = pattern
    while any(wildcard in root for wildcard in _WILDCARDS):
        root = os.path.dirname(root)
    for match in sorted(map(str, matching_paths(pattern))):
        inside = os.path.abspath(match)
        if inside == str(output) or inside.startswith(f"{output}{os.sep}"):
            continue
        relative = os.path.relpath(match, root or ".")
        if os.path.isdir(match):
            if image_folders and any(is_image(Path(name)) for name in _names_in(match)):
                yield Video.make(inside, relative, is_folder=True)
        elif not image_folders and is_video(os.path.basename(match)):
            yield Video.make(inside, relative)


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read ({error.strerror}). Fix: chmod u+rx") from error


def _is_run(path: str) -> bool:
    """Whether `path` holds the masks or probabilities of an earlier run."""
    return os.path.exists(os.path.join(os.path.dirname(path), "run.json"))


def _expected(source: str, image_folders: bool) -> str:
    if source == "-" or is_list(source):
        return "expected a list with a path on each line; blank lines and those that begin with # do not count"
    if image_folders:
        return "expected folders that hold images. Without --image-folders, videos are looked for"
    suffixes = " ".join(sorted(suffix.removeprefix(".") for suffix in SUFFIXES))
    return f"expected files ending in {suffixes}; folders of images need --image-folders"
