"""What runs a network. One small protocol, so that the rest does not know which library does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelFileError
from ..files.onnx_file import OnnxFile
from ..trt.card import EngineFile

if TYPE_CHECKING:
    pass

NetworkFile = OnnxFile | EngineFile


class Backend(Protocol):
    """Runs one network; a context manager that owns what it holds.

    `name` says for the report what computes, with its version and threads.
    """

    name: str

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """All outputs by name. Raises ModelFileError for inputs that do not fit, or outputs that are not finite."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


DEVICES = ("cpu", "cuda")
# What a network's file takes and gives; more outputs (attention maps) are welcome.
_CONTRACT = {
    "amcnet": ({"image", "flow_image"}, "mask"),
    "pwcnet": ({"frame", "next_frame"}, "flow"),
    "pipeline": ({"frame", "next_frame"}, "mask"),
}


def check_contract(file: NetworkFile, inputs: list[str], outputs: list[str]) -> None:
    """Raises ModelFileError for a file whose inputs and outputs are not its network's."""
    wanted_inputs, wanted_output = _CONTRACT[file.model]
    if set(inputs) != wanted_inputs or wanted_output not in outputs:
        raise ModelFileError(
            f"{file.path} takes {', '.join(inputs)} and gives {', '.join(outputs)}; expected a file that "
            f"takes {', '.join(sorted(wanted_inputs))} and gives {wanted_output}: export it again with export-onnx"
        )


def check_finite(file: NetworkFile, outputs: Mapping[str, NDArray[np.float32]]) -> None:
    """Raises ModelFileError for NaN or infinity."""
    for name, result in outputs.items():
        if not np.isfinite(result).all():
            raise ModelFileError(
                f"{file.path}: the output {name!r} has values that are not finite (NaN or infinite); "
                "expected numbers. The weights or the precision are at fault: export it again from its checkpoint"
            )


def in_one_line(error: Exception) -> str:
    """A library's message, which may have many lines, for a message of ours."""
    return " ".join(str(error).split())
