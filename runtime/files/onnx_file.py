"""ONNX files of this package and their metadata, read without onnx and torch."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelFileError
from ..preprocessing.spec import Preprocessing

# Keys of `metadata_props`; every file of this package has those in REQUIRED.
MODEL = "amcnet.model"  # amcnet, pwcnet, raft or pipeline
CHECKPOINT_SHA256 = "amcnet.checkpoint_sha256"  # of the checkpoint file, or "untrained, seed N"
PRECISION = "amcnet.precision"  # fp32, fp16, int8
PREPROCESSING = "amcnet.preprocessing"  # JSON: see preprocessing/spec.py
CONFIG = "amcnet.config"  # JSON: the fields of AMCNetConfig (models/amcnet.py) or RAFTConfig (models/raft.py)
INT8_TARGET = "amcnet.int8_target"  # in INT8 files: tensorrt or cpu
TOOL_VERSION = "amcnet.tool_version"
FLOW_MODELS = ("pwcnet", "raft")
REQUIRED = (MODEL, CHECKPOINT_SHA256, PRECISION, PREPROCESSING, TOOL_VERSION)


class ModelFile:
    """Properties that the ONNX file of a model and its TensorRT engine share. All come from the ONNX metadata."""

    if TYPE_CHECKING:

        @property
        def path(self) -> Path: ...

        @property
        def metadata(self) -> dict[str, str]: ...

        @property
        def outputs(self) -> tuple[str, ...]: ...

    @property
    def model(self) -> str:
        """amcnet, pwcnet, raft or pipeline."""
        return self.metadata[MODEL]

    @property
    def computes_flow(self) -> bool:
        """Whether the output is optical flow, that of a PWC-Net or RAFT."""
        return self.model in FLOW_MODELS

    @property
    def untrained(self) -> bool:
        """Whether the weights come from a seed: suitable for timing, not for masks."""
        return self.metadata[CHECKPOINT_SHA256].startswith("untrained")

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """Preprocessing of the model's inputs. Raises ModelFileError for metadata that cannot be used."""
        return Preprocessing.from_json(self.metadata[PREPROCESSING])


@dataclass(frozen=True, kw_only=True)
class OnnxFile(ModelFile):
    """An ONNX file at `path` and its `metadata_props`."""

    path: Path
    metadata: dict[str, str]

    @classmethod
    def read(cls, path: str | Path, *models: str) -> OnnxFile:
        """Read the metadata of the file at `path`.

        models: the file must hold one of these ("amcnet", "pwcnet", "raft", "pipeline"); none for any.
        Raises ModelFileError for a file that is missing, not ONNX, not exported by this package, or another model.
        """
        path = Path(path)
        if not path.is_file():
            raise ModelFileError(f"{path}: no such file; expected an ONNX file; make one with: export-onnx --help")
        try:
            metadata = _metadata_props(path)
        except ValueError as error:
            raise ModelFileError(f"{path} is not an ONNX file ({error}); expected one made by export-onnx") from None
        missing = [key for key in REQUIRED if key not in metadata]
        if missing:
            raise ModelFileError(
                f"{path} has no {missing[0]!r} in its metadata, which defines its inputs; expected a file made "
                "by export-onnx; export it again from its checkpoint"
            )
        if models and metadata[MODEL] not in models:
            raise ModelFileError(
                f"{path} holds the model {metadata[MODEL]!r}; expected {' or '.join(map(repr, models))}; "
                f"make one with: export-onnx {models[0]} --help"
            )
        return cls(path=path, metadata=metadata)

    @property
    def precision(self) -> str:
        """fp32, fp16 or int8."""
        return self.metadata[PRECISION]

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs of the graph."""
        return _output_names(self.path)

    def sha256(self) -> str:
        """SHA-256 of the file as it is now; computed again only if its size or time has changed."""
        stat = self.path.stat()
        return _known_sha256(self.path.absolute(), stat.st_size, stat.st_mtime_ns)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=16)
def _known_sha256(path: Path, size: int, mtime_ns: int) -> str:
    """A batch needs it for each video: 7 ms for the bundled network, much more for those of 628 MB."""
    return file_sha256(path)


def _metadata_props(path: Path) -> dict[str, str]:
    """`metadata_props` of a ModelProto, parsed without onnx; the weights before them, up to 628 MB, are not read.

    Field 14 of ModelProto is metadata_props. Field 1 of StringStringEntryProto is the key, field 2 the value.
    """
    if path.stat().st_size == 0:
        raise ValueError("it is empty")
    metadata = {}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as model:
        for field, start, end in _fields(model, 0, len(model)):
            if field == 14:
                entry = {number: model[a:b].decode() for number, a, b in _fields(model, start, end)}
                metadata[entry.get(1, "")] = entry.get(2, "")
    return metadata


def _output_names(path: Path) -> tuple[str, ...]:
    """Names of the outputs of a ModelProto, parsed without onnx.

    Field 7 of ModelProto is the graph, field 12 of GraphProto an output, field 1 of ValueInfoProto its name.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as model:
        spans = [(0, len(model))]
        for wanted in (7, 12, 1):
            spans = [(a, b) for span in spans for number, a, b in _fields(model, *span) if number == wanted]
        return tuple(model[a:b].decode() for a, b in spans)


def _fields(message: mmap.mmap, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, start, end) of each length-delimited field in the protobuf message from `position` to `end`."""
    while position < end:
        tag, position = _varint(message, position, end)
        field, wire = tag >> 3, tag & 7
        if field == 0 or wire not in (0, 1, 2, 5):
            raise ValueError(f"no field begins at byte {position}")
        length = {1: 8, 5: 4}.get(wire, 0)
        if wire in (0, 2):
            number, position = _varint(message, position, end)
            length = number if wire == 2 else 0
        if position + length > end:
            raise ValueError("a field reaches beyond its end")
        if wire == 2:
            yield field, position, position + length
        position += length


def _varint(message: mmap.mmap, position: int, end: int) -> tuple[int, int]:
    """Decode the varint at `position`: its value, and the position after it."""
    number = 0
    for shift in range(0, 64, 7):
        if position >= end:
            raise ValueError("it ends in the middle of a number")
        byte = message[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise ValueError("a number is too long")
