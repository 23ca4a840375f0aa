"""Calibration table: ranges of all tensors of a network, in a JSON file beside the INT8 file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import ModelFileError
from ..runtime.files.atomic import replacing
from .range_methods import Method

TABLE_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class TensorRange:
    """Quantization range of a tensor, `low` to `high`.

    saturated: fraction of the sampled values outside the range, 0 to 1. least, greatest: minimum and maximum over all
    frames. means: channel means, if the tensor is the input of a convolution.
    """

    low: float
    high: float
    saturated: float
    least: float
    greatest: float
    means: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CalibrationTable:
    """Ranges of the tensors of one FP32 file, on given frames (their number and hash), by one method.

    version: 2 since tables contain channel means. A table of another version is used only if it is named explicitly.
    """

    model_sha256: str
    frames_sha256: str
    frames: int
    method: Method
    tensors: dict[str, TensorRange]
    version: int = 1

    @classmethod
    def read(cls, path: Path) -> CalibrationTable:
        """Read a file written by `write`. Raises ModelFileError for any other."""
        try:
            fields: Any = json.loads(path.read_text())
            for name, values in fields["tensors"].items():
                fields["tensors"][name] = TensorRange(**values | {"means": tuple(values.get("means", ()))})
            return cls(**fields)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelFileError(
                f"{path} cannot be read as a calibration table: {error}; expected the JSON file that amc-calibrate "
                "writes beside the INT8 file. Fix: leave out --table to measure the ranges again"
            ) from error

    def write(self, path: Path) -> None:
        """Write the table with one line for each tensor. Raises OutputError."""
        head = {key: value for key, value in asdict(self).items() if key != "tensors"}
        lines = [f"    {json.dumps(name)}: {json.dumps(asdict(value))}" for name, value in self.tensors.items()]
        text = json.dumps(head, indent=2).removesuffix("\n}") + ',\n  "tensors": {\n' + ",\n".join(lines) + "\n  }\n}\n"
        with replacing(path) as temporary:
            temporary.write_text(text)


def frames_sha256(input_batches: Iterable[Mapping[str, NDArray[Any]]]) -> tuple[str, int]:
    """Return the SHA-256 of all arrays of `input_batches`, and the number of batches."""
    digest = hashlib.sha256()
    count = 0
    for inputs in input_batches:
        for name, array in sorted(inputs.items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        count += 1
    return digest.hexdigest(), count
