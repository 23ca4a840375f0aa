"""The exceptions of the package.

AmcNetError
├── InputError         a video, image or flow file cannot be read, or an argument is out of range
├── CheckpointError    a checkpoint cannot be read, or holds another network
├── ModelFileError     an ONNX file holds the wrong model, lacks its metadata, or computes values that are not finite
├── OutputError        a result cannot be written
├── EngineError        an engine cannot be built, loaded or run, or does not match its card
└── BackendError       an inference library is missing, installed twice, or rejects a file
"""

from __future__ import annotations


class AmcNetError(Exception):
    """Base class of all errors that the user can fix.

    The message states what happened, what was found, what was expected, and the command or change that fixes it.
    """


class InputError(AmcNetError):
    """A video, image or flow file cannot be read, or an argument is out of range."""


class CheckpointError(AmcNetError):
    """A checkpoint cannot be read, or holds another network."""


class ModelFileError(AmcNetError):
    """An ONNX file holds the wrong model, lacks its metadata, or computes values that are not finite."""


class OutputError(AmcNetError):
    """A result cannot be written."""


class EngineError(AmcNetError):
    """An engine cannot be built, loaded or run, or does not match its card."""


class BackendError(AmcNetError):
    """An inference library is missing, installed twice, or rejects a file."""
