"""Protocol of the inference libraries that run a network, and checks that all of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelFileError
from ..files.onnx_file import OnnxFile
from ..trt.card import EngineFile

NetworkFile = OnnxFile | EngineFile


class Backend(Protocol):
    """A loaded network; a context manager that releases it.

    `name` is the library with its version and threads, for reports.
    """

    name: str

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Run the network once and return by name the outputs that it was opened for, in FP32.

        Raises ModelFileError for inputs of other names, shapes or types, and for outputs that are not finite.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


# Inputs and required output of each model; further outputs (attention maps) are allowed, and computed on request.
_CONTRACT = {
    "amcnet": ({"image", "flow_image"}, "mask"),
    "pwcnet": ({"frame", "next_frame"}, "flow"),
    "raft": ({"frame", "next_frame"}, "flow"),
    "pipeline": ({"frame", "next_frame"}, "mask"),
}


def check_contract(file: NetworkFile, inputs: list[str], outputs: list[str]) -> None:
    """Raises ModelFileError for a file whose inputs and outputs are not those of its model."""
    wanted_inputs, wanted_output = _CONTRACT[file.model]
    if set(inputs) != wanted_inputs or wanted_output not in outputs:
        raise ModelFileError(
            f"{file.path} has the inputs {', '.join(inputs)} and the outputs {', '.join(outputs)}; expected "
            f"{', '.join(sorted(wanted_inputs))} and {wanted_output}. Fix: export it again with export-onnx"
        )


def requested_outputs(file: NetworkFile, extra_outputs: Sequence[str]) -> list[str]:
    """The output that every file of this model has, and `extra_outputs`."""
    return [_CONTRACT[file.model][1], *extra_outputs]


def check_finite(file: NetworkFile, outputs: Mapping[str, NDArray[np.float32]]) -> None:
    """Raises ModelFileError for NaN or infinity."""
    for name, result in outputs.items():
        if not np.isfinite(result).all():
            raise ModelFileError(
                f"{file.path}: the output {name!r} has values that are not finite (NaN or infinite); "
                "expected finite numbers. Fix: export it again from its checkpoint, or in FP32"
            )


def in_one_line(error: Exception) -> str:
    """A library's message, which may have many lines, in one line."""
    return " ".join(str(error).split())
