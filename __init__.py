"""Zero-shot video object segmentation: AMC-Net, PWC-Net and RAFT, from checkpoints to masks.

    import amcnet

    with amcnet.Segmenter.load() as segmenter:
        for m in segmenter.video("clip.mp4"):
            m.mask, m.pts_seconds

| to do | names |
|---|---|
| segment a video | Segmenter, MaskFrame |
| segment many videos with Ray Data | SegmentVideos |
| read or bring frames | open_frames, Frame |
| write mattes, alpha videos, RLE and so on | open_writer |
| export a checkpoint to ONNX | export_amcnet, export_pwcnet, export_raft, export_pipeline |
| load a RAFT in PyTorch | load_raft |
| quantize an ONNX file to INT8 | calibrate |
| build a TensorRT engine | build_engine, BuildOptions |
| score masks against annotations | evaluate |
| catch errors | AmcNetError and its subclasses |

`help(amcnet.NAME)` describes each. `import amcnet` loads none of them: each is imported when it is first used.
"""

from __future__ import annotations

import importlib
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
from .runtime.extras import needed_by
from .runtime.version import __version__

if TYPE_CHECKING:
    from .benchmarks.accuracy.evaluation import evaluate
    from .calibration import calibrate
    from .engines.build import build_engine
    from .engines.build_options import BuildOptions
    from .export.exporter import export_amcnet, export_pipeline, export_pwcnet
    from .export.raft_exporter import export_raft
    from .models.checkpoint import load_raft
    from .runtime.batch.dataset import SegmentVideos
    from .runtime.frame import Frame, MaskFrame
    from .runtime.output.open_writer import open_writer
    from .runtime.segmenter import Segmenter
    from .runtime.video.reader import open_frames

_MODULES = {
    "BuildOptions": ".engines.build_options",
    "Frame": ".runtime.frame",
    "MaskFrame": ".runtime.frame",
    "SegmentVideos": ".runtime.batch.dataset",
    "Segmenter": ".runtime.segmenter",
    "build_engine": ".engines.build",
    "calibrate": ".calibration",
    "evaluate": ".benchmarks.accuracy.evaluation",
    "export_amcnet": ".export.exporter",
    "export_pipeline": ".export.exporter",
    "export_pwcnet": ".export.exporter",
    "export_raft": ".export.raft_exporter",
    "load_raft": ".models.checkpoint",
    "open_frames": ".runtime.video.reader",
    "open_writer": ".runtime.output.open_writer",
}

__all__ = [
    "AmcNetError",
    "BackendError",
    "BuildOptions",
    "CheckpointError",
    "EngineError",
    "Frame",
    "InputError",
    "MaskFrame",
    "ModelFileError",
    "OutputError",
    "SegmentVideos",
    "Segmenter",
    "__version__",
    "build_engine",
    "calibrate",
    "evaluate",
    "export_amcnet",
    "export_pipeline",
    "export_pwcnet",
    "export_raft",
    "load_raft",
    "open_frames",
    "open_writer",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needed_by(f"amcnet.{name}"):
        return getattr(importlib.import_module(_MODULES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
