"""Export of PyTorch checkpoints to ONNX, with attention, correlation, lookup and warp as ONNX functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..runtime.files.onnx_file import OnnxFile
from ..runtime.preprocessing.spec import Preprocessing

if TYPE_CHECKING:
    from .exporter import export_amcnet, export_pipeline, export_pwcnet
    from .raft_exporter import export_raft
    from .verified_export import Exported, ExportOptions
    from .weights import Seed

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
    # Lazy, because these modules import torch.
    if name in __all__:
        from . import exporter, raft_exporter, verified_export, weights

        module = next(each for each in (exporter, raft_exporter, verified_export, weights) if hasattr(each, name))
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
