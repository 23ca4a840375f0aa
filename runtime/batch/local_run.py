"""A run whose source or output is at an address, as a run on this machine: download before, upload after."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import AmcNetError
from ..infer import InferOptions
from .cloud import download, file_name, is_url, upload_folder


@contextmanager
def local_run(options: InferOptions) -> Iterator[InferOptions]:
    """`options` with paths in place of addresses.

    A source at an address is downloaded to a temporary file. An output at an address is a temporary folder in the
    block, uploaded if the block succeeds; the address then holds this run alone. Errors name the addresses.
    Raises InputError or OutputError.
    """
    source, output = str(options.source), str(options.output)
    if not is_url(source) and not is_url(output):
        yield options
        return
    with tempfile.TemporaryDirectory(prefix="amcnet-") as folder:
        local = dataclasses.replace(options)
        if is_url(source):
            copy = Path(folder) / "source" / file_name(source)
            copy.parent.mkdir()
            download(source, copy)
            local = dataclasses.replace(local, source=copy)
        if is_url(output):
            local = dataclasses.replace(local, output=Path(folder) / "run", resume=False)
        try:
            yield local
        except AmcNetError as error:
            message = str(error).replace(str(local.source), source).replace(str(local.output), output)
            raise type(error)(message) from error
        if is_url(output):
            upload_folder(Path(local.output), output)
