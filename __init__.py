"""Zero-shot video object segmentation, deployed: AMC-Net and PWC-Net from checkpoints to masks.

from amcnet import Segmenter
for m in Segmenter.load("amcnet.onnx").video("clip.mp4"):
    m.mask, m.pts_seconds
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .runtime.errors import (
    AmcNetError,
    BackendError,
    CheckpointError,
    EngineError,
    InputError,
    ModelFileError,
    OutputError,
)
from .runtime.version import __version__

__all__ = [
    "AmcNetError",
    "BackendError",
    "CheckpointError",
    "EngineError",
    "InputError",
    "MaskFrame",
    "ModelFileError",
    "OutputError",
    "Segmenter",
    "__version__",
]

if TYPE_CHECKING:
    from .runtime.frame import MaskFrame
    from .runtime.segmenter import Segmenter


def __getattr__(name: str) -> Any:
    # Lazy, so that `import amcnet` costs nothing and `amcnet.export` does not load the runtime.
    if name == "Segmenter":
        from .runtime.segmenter import Segmenter

        return Segmenter
    if name == "MaskFrame":
        from .runtime.frame import MaskFrame

        return MaskFrame
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
