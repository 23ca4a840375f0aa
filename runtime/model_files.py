"""Which network a file holds, and whether that is the one that its place asks for."""

from __future__ import annotations

from pathlib import Path

from .backends.base import NetworkFile
from .errors import EngineError, InputError
from .files.onnx_file import OnnxFile
from .trt.card import EngineFile


def read_engine(path: Path, trust: bool, amcnet: str | Path | None, flow: str | Path) -> EngineFile:
    """The engine in the network's place, if what else was asked for goes with it. Raises EngineError or InputError."""
    if amcnet is not None:
        raise InputError(f"both {amcnet} and {path} were given; expected one network: leave out one of the two")
    file = EngineFile.read(path, trust=trust)
    if file.model not in ("amcnet", "pipeline"):
        raise EngineError(
            f"{path} holds the model {file.model!r}; expected 'amcnet' or 'pipeline'; build one with: "
            "build-engine amcnet.onnx --fp16"
        )
    if file.model == "pipeline" and str(flow) != "dis":
        raise InputError(f"flow {str(flow)!r} was given, but {path} makes its own; leave out one of the two")
    return file


def read_flow(path: Path, trust: bool) -> NetworkFile | None:
    """The PWC-Net at `path`, None for another source of flow. Raises ModelFileError or EngineError."""
    if path.suffix != ".engine":
        return OnnxFile.read(path, "pwcnet") if path.suffix == ".onnx" else None
    file = EngineFile.read(path, trust=trust)
    if file.model != "pwcnet":
        raise EngineError(
            f"{path} holds the model {file.model!r}; expected 'pwcnet'; build one with: build-engine pwcnet.onnx"
        )
    return file
