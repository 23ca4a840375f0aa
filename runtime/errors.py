"""The exceptions of the package.

AmcNetError
├── InputError         a video, picture or flow file that cannot be read
├── CheckpointError    a checkpoint that is not what it is said to be
├── ModelFileError     an ONNX file of the wrong network, without our metadata, or whose output is not finite
├── OutputError        a result that cannot be written
├── EngineError        an engine that cannot be built, or is not what its card says
└── BackendError       an inference library that is missing, doubled or refuses the file
"""

from __future__ import annotations


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
