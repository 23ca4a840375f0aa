"""Zero-shot video object segmentation, deployed: AMC-Net and PWC-Net from checkpoints to masks.

    from amcnet import Segmenter
    for m in Segmenter.load("amcnet.onnx").video("clip.mp4"):
        m.mask, m.pts_seconds

AmcNetError
├── InputError         a video, picture or flow file that cannot be read
├── CheckpointError    a checkpoint that is not what it is said to be
├── ModelFileError     an ONNX file of the wrong network, without our metadata, or whose output is not finite
├── OutputError        a result that cannot be written
├── EngineError        an engine that cannot be built, or is not what its card says
└── BackendError       an inference library that is missing, doubled or refuses the file
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
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


class AmcNetError(Exception):
    """Anything that a user can mend. The message says what happened, what came, what was expected and what to do."""


class InputError(AmcNetError):
    """A video, picture or flow file cannot be read."""


class CheckpointError(AmcNetError):
    """A checkpoint is not what it is said to be."""


class ModelFileError(AmcNetError):
    """An ONNX file holds the wrong network, lacks our metadata, or gives values that are not finite."""


class OutputError(AmcNetError):
    """A result cannot be written."""


class EngineError(AmcNetError):
    """An engine cannot be built as asked, or is not what its card says."""


class BackendError(AmcNetError):
    """An inference library is missing, installed twice, or refuses a file."""


def __getattr__(name: str) -> Any:
    # Lazy, so that `import amcnet` costs nothing and `amcnet.export` does not load the runtime.
    if name == "Segmenter":
        from .runtime.segmenter import Segmenter

        return Segmenter
    if name == "MaskFrame":
        from .runtime.frame import MaskFrame

        return MaskFrame
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def command(main: Callable[[], int]) -> Callable[[], int]:
    """Give a command's `main` its manners: 2 for an error the user can mend, 130 for Ctrl-C, 141 for a closed pipe.

    An extra that is not installed is such an error, wherever it is imported.
    """

    @functools.wraps(main)
    def wrapped() -> int:
        from .runtime.extras import needed_by
        from .runtime.interruption import Interruption

        try:
            with Interruption(), needed_by(Path(sys.argv[0]).name):
                return main()
        except AmcNetError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return 130
        except BrokenPipeError:
            # The reader of our output has gone (`| head`): nothing more can be said, not even at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141

    return wrapped
