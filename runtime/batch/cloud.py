"""Files at addresses such as s3://bucket/day1/clip.mp4, through fsspec: listing, download, upload."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import AmcNetError, BackendError, InputError, OutputError
from ..extras import require

_LAST = "run.json"  # a folder that holds it holds the rest, too


def is_url(name: str | Path) -> bool:
    """Whether `name` is an address and not a path: `s3://bucket/a.mp4`, `gs://…`, `https://…`."""
    return "://" in str(name)


def is_http(url: str) -> bool:
    """Whether `url` is an address of a web server, whose folders are pages with links."""
    return url.startswith(("http://", "https://"))


def path_of(url: str) -> str:
    """`host/day 1/a.mp4` of `https://host/day%201/a.mp4?token=…`, `bucket/a.mp4` of `s3://bucket/a.mp4`."""
    if is_http(url):
        parts = urlsplit(url)
        return parts.netloc + unquote(parts.path)
    return url.partition("://")[2]


def list_files(url: str, pattern: str = "") -> list[str]:
    """The addresses of all files below `url`, to any depth, or of those that match `url/pattern`; sorted.

    `[url]` if `url` is a file; of a web server, an address that ends in / is a folder. Raises InputError if there is
    nothing at `url` or access is refused.
    """
    with _access(url, InputError) as (filesystem, path):
        filesystem.invalidate_cache()
        if filesystem.info(path)["type"] == "file" and not (is_http(url) and url.endswith("/")):
            return [url]
        found = filesystem.glob(f"{path}/{pattern}", detail=True) if pattern else filesystem.find(path, detail=True)
        files = sorted(name for name, info in found.items() if info["type"] == "file")
        return [filesystem.unstrip_protocol(name) for name in files]


def stat(url: str) -> tuple[int | None, int | None]:
    """Size in bytes and time of change in ns, each None where it is not known. Raises InputError."""
    with _access(url, InputError) as (filesystem, path):
        size = filesystem.info(path)["size"]
        try:
            changed = filesystem.modified(path)
        except NotImplementedError:  # web servers
            return size, None
        return size, int(changed.timestamp() * 1e6) * 1000


def read_bytes(url: str) -> bytes:
    """The content of the file at `url`. Raises InputError."""
    with _access(url, InputError) as (filesystem, path):
        content: bytes = filesystem.cat_file(path)
        return content


def download(url: str, path: Path) -> None:
    """Copy the file at `url` to `path`. Raises InputError."""
    with _access(url, InputError) as (filesystem, remote):
        filesystem.get_file(remote, str(path))


def download_existing(url: str, folder: Path, names: Sequence[str]) -> None:
    """Copy those of the files `url/name` that exist to `folder/name`. Raises OutputError: `url` is the output."""
    with _access(url, OutputError) as (filesystem, remote):
        filesystem.invalidate_cache()
        stored = set(filesystem.find(remote))
        some = [name for name in names if f"{remote}/{name}" in stored]
        for name in some:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if some:
            filesystem.get([f"{remote}/{name}" for name in some], [str(folder / name) for name in some])


def upload(path: Path, url: str) -> None:
    """Copy the file `path` to `url`. Object stores replace an object as a whole. Raises OutputError."""
    with _access(url, OutputError) as (filesystem, remote):
        filesystem.put_file(str(path), remote)


def upload_folder(folder: Path, url: str) -> None:
    """Make `url` hold the files of `folder` and no others; its run.json is copied last. Raises OutputError."""
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    with _access(url, OutputError) as (filesystem, remote):
        filesystem.invalidate_cache(remote)
        stale = set(filesystem.find(remote)) - {f"{remote}/{name}" for name in names}
        for group in ([name for name in names if name != _LAST], [name for name in names if name == _LAST]):
            if group:
                filesystem.put([str(folder / name) for name in group], [f"{remote}/{name}" for name in group])
        if stale:
            filesystem.rm(sorted(stale))


@contextmanager
def _access(url: str, kind: type[AmcNetError]) -> Iterator[tuple[Any, str]]:
    """The filesystem of `url` and its path there; whatever goes wrong in the block raises `kind`."""
    require(f"{url}:", "fsspec")
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(url)
        yield filesystem, path.rstrip("/")
    except ImportError as error:
        raise BackendError(f"{url}: {error}. Fix: pip install 'amcnet[cloud]'; for gs:// also gcsfs") from error
    except FileNotFoundError as error:
        raise kind(f"{url}: there is no such bucket, folder or file ({error}); expected one that exists") from error
    except PermissionError as error:
        raise kind(
            f"{url}: access was refused ({error}); expected credentials that allow it. Fix: set them in the "
            "environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from error
    except AmcNetError:
        raise
    except Exception as error:  # each library behind fsspec has exceptions of its own
        raise kind(f"{url}: {type(error).__name__}: {error}; expected an address that can be accessed") from error


def file_name(url: str) -> str:
    """The last part of the path of `url`."""
    return PurePosixPath(path_of(url)).name
