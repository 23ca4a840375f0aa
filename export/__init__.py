"""Export of PyTorch checkpoints to ONNX, with attention, correlation, lookup and warp as ONNX functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..runtime.files.onnx_file import OnnxFile
from ..runtime.preprocessing.spec import Preprocessing

if TYPE_CHECKING:
    from .exporter import Exported, ExportOptions, Seed, export_amcnet, export_pipeline, export_pwcnet, export_raft

__all__ = [
    "ExportOptions",
    "Exported",
    "OnnxFile",
    "Preprocessing",
    "Seed",
    "export_amcnet",
    "export_pipeline",
    "export_pwcnet",
    "export_raft",
]


def __getattr__(name: str) -> Any:
    # Lazy, because the exporter imports torch.
    if name in __all__:
        from . import exporter

        return getattr(exporter, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
