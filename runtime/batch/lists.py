"""Read lists of videos: text with a path a line, or JSON lines; from a file, an address or standard input."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from .cloud import file_name, is_http, is_url, path_of, read_bytes
from .video import Video

_SUFFIXES = frozenset({".txt", ".lst", ".jsonl", ".ndjson"})


def is_list(name: str) -> bool:
    """Whether a file is a list by its name."""
    return os.path.splitext(file_name(name) if is_url(name) else name)[1].lower() in _SUFFIXES


def read_list(source: str, *, image_folders: bool = False) -> Iterator[Video]:
    """The videos that the list `source` names, in its order; `source` is a path, an address, or - for standard input.

    A line is a path, or a JSON object with "source" and optionally "output", the output folder. Blank lines and lines
    that begin with # are passed over; spaces around a path are removed. A relative path is relative to the folder of
    the list, or to the current one for standard input, and is mirrored as it is written; of an absolute path the
    whole path is mirrored, of an address what follows `://`. In a list at an address, a relative path is an address
    in the same folder. A path that does not exist is an error of that video, not of the list. Raises InputError for a
    list that cannot be read, and for a line that is not understood.
    """
    folder = "" if source == "-" else os.path.dirname(source.partition("?")[0] if is_http(source) else source)
    name = "standard input" if source == "-" else source
    for number, line in enumerate(_lines(source, name), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            path, output = _parse(text, f"{name}, line {number}")
            if is_url(path):
                yield Video.make(path, path_of(path), output=output)
            elif is_url(folder) and not os.path.isabs(path):
                yield Video.make(f"{folder}/{path}", os.path.normpath(path), output=output)
            else:
                yield _of_path(path, folder, image_folders, output)


def _of_path(path: str, folder: str, image_folders: bool, output: str | None) -> Video:
    full = os.path.abspath(os.path.join(folder, path))  # an absolute path remains what it is
    normal = os.path.normpath(path)
    relative = full if normal == ".." or normal.startswith(".." + os.sep) else normal
    return Video.make(full, relative, is_folder=image_folders and os.path.isdir(full), output=output)


def _lines(source: str, name: str) -> list[str]:
    try:
        if is_url(source):
            stored = read_bytes(source)
        else:
            stored = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return stored.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"{name}: the list cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}: the list cannot be read (byte {error.start} is not UTF-8); expected text. Fix: iconv -t UTF-8"
        ) from error


def _parse(text: str, where: str) -> tuple[str, str | None]:
    if not text.startswith("{"):
        return text, None
    try:
        entry = json.loads(text)
    except ValueError as error:
        raise InputError(f'{where}: {error}; expected a path, or JSON such as {{"source": "a/clip.mp4"}}') from error
    path, output = entry.get("source"), entry.get("output")
    if not isinstance(path, str) or not path or not isinstance(output, str | None):
        raise InputError(
            f'{where}: got source {path!r} and output {output!r}; expected JSON such as {{"source": "a/clip.mp4", '
            '"output": "a/clip"}, whose output may be left out'
        )
    return path, output
