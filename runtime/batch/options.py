"""The options of a batch, and the hash of those that the masks depend on."""

from __future__ import annotations

import hashlib
import inspect
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files.onnx_file import file_sha256
from ..infer import InferOptions
from ..output.kinds import explains
from ..output.run_outputs import check_outputs
from ..segmenter import Segmenter
from ..segmenter_plan import SegmenterPlan
from .cloud import is_http
from .shard import Shard

_OF_ONE_RUN = {"source", "output", "resume", "overwrite"}
_FILES = {"amcnet", "engine", "flow", "background"}  # options that may name a file


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Each field is a flag of `amc-batch` of the same name; `infer` has the options that each video gets.

    `output` is a folder, or an address of one (`s3://bucket/masks`). `jobs` None: as many processes as cores and memory
    allow. `timeout` is in seconds for one video, None without end. `retries` is how often a video that failed is tried
    again. `limit` is how many videos are begun at most. `ray` is the HOST:PORT of a Ray cluster, "auto" for the one of
    this machine, None for processes here.
    """

    sources: tuple[str, ...]
    output: str | Path
    infer: InferOptions
    image_folders: bool = False
    jobs: int | None = None
    timeout: float | None = None
    retries: int = 1
    limit: int | None = None
    retry_failed: bool = False
    overwrite: bool = False
    shard: Shard | None = None
    ray: str | None = None

    def __post_init__(self) -> None:
        if not self.sources:
            raise InputError("no sources were given; expected videos, folders, patterns or lists")
        if is_http(str(self.output)):
            raise InputError(
                f"{self.output}: a web server takes no files; expected a folder or a bucket. Fix: -o s3://bucket/masks"
            )
        if Path(self.infer.flow).is_dir():
            raise InputError(
                f"flow {str(self.infer.flow)!r} is a folder, which holds the flow of one video; expected 'dis' or a "
                "file of PWC-Net or RAFT. Fix: amc-infer VIDEO --flow DIR"
            )


def segmenter_arguments(options: InferOptions) -> dict[str, Any]:
    """The arguments of `Segmenter.load` for `options`."""
    taken = inspect.signature(Segmenter.load).parameters
    same = {field.name: getattr(options, field.name) for field in fields(options) if field.name in taken}
    return same | {"explain": explains(options.write)}


def settings_sha256(options: InferOptions) -> str:
    """A hash of all that the masks of a given video depend on: the options, and the contents of the files they name.

    Nothing is loaded, but everything is checked. Raises the errors of `SegmenterPlan.make` and `check_outputs`.
    """
    plan = SegmenterPlan.make(**segmenter_arguments(options))
    check_outputs(options.write, threshold=plan.threshold, soft_edges=options.soft_edges, background=options.background)
    settings: dict[str, Any] = {"network": plan.file.sha256(), "computed_in": plan.precision}
    for field in fields(options):
        if field.name not in _OF_ONE_RUN:
            value = getattr(options, field.name)
            is_file = field.name in _FILES and value is not None and Path(value).is_file()
            settings[field.name] = file_sha256(Path(value)) if is_file else value
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
