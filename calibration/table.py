"""The calibration table: the range of each tensor, readable, beside the ONNX file that was made with it."""

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
    """Values from `low` to `high` are told apart in 8 bits; the share `saturated` (0 to 1) of what was seen is beyond.

    `least` and `greatest` are the ends of what was seen; `means` of its channels, where it goes into a convolution.
    """

    low: float
    high: float
    saturated: float
    least: float
    greatest: float
    means: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CalibrationTable:
    """Of which file, seen on which frames (their number and hash), chosen by which method: the range of each tensor."""

    model_sha256: str
    frames_sha256: str
    frames: int
    method: Method
    tensors: dict[str, TensorRange]
    version: int = 1
    """Since 2 there are means; a table of another version is not reused unless it is asked for."""

    @classmethod
    def read(cls, path: Path) -> CalibrationTable:
        """Raises ModelFileError for anything but a file that `write` wrote."""
        try:
            fields: Any = json.loads(path.read_text())
            for name, values in fields["tensors"].items():
                fields["tensors"][name] = TensorRange(**values | {"means": tuple(values.get("means", ()))})
            return cls(**fields)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelFileError(
                f"{path} is no calibration table ({error}); expected the JSON file that amc-calibrate writes beside "
                "its result; leave out --table to calibrate anew"
            ) from error

    def write(self, path: Path) -> None:
        """One line a tensor."""
        head = {key: value for key, value in asdict(self).items() if key != "tensors"}
        lines = [f"    {json.dumps(name)}: {json.dumps(asdict(value))}" for name, value in self.tensors.items()]
        text = json.dumps(head, indent=2).removesuffix("\n}") + ',\n  "tensors": {\n' + ",\n".join(lines) + "\n  }\n}\n"
        with replacing(path) as temporary:
            temporary.write_text(text)


def frames_sha256(input_batches: Iterable[Mapping[str, NDArray[Any]]]) -> tuple[str, int]:
    """The hash of all arrays that are fed, and how many feeds there are."""
    digest = hashlib.sha256()
    count = 0
    for feed in input_batches:
        for name, array in sorted(feed.items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        count += 1
    return digest.hexdigest(), count
