"""Preprocessing of a network's inputs, as specified in the metadata of its ONNX file."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import ModelFileError

_RESIZES = ("bicubic-antialiased", "bilinear", "inside")
_CHANNEL_ORDERS = ("RGB", "BGR")


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Preprocessing of an image for a network; ONNX files have it in their metadata as JSON.

    `size` is (width, height) in pixels. `mean` and `std` are for pixels in [0, 1], one value per channel, in the
    network's `channel_order` ("RGB" or "BGR"). `resize` is "bicubic-antialiased" (as in Pillow), "bilinear" (half-pixel
    centers, not antialiased) or "inside" (the graph preprocesses uint8 images itself). Raises ValueError for other
    values.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channel_order: str = "RGB"
    resize: str = "bicubic-antialiased"

    def __post_init__(self) -> None:
        if len(self.size) != 2 or not all(type(n) is int and n > 0 for n in self.size):
            raise ValueError(f"size is {self.size}; expected [width, height] in whole pixels")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(math.isfinite(value) for value in values):
                raise ValueError(f"{name} is {values}; expected three numbers")
        if not all(value > 0 for value in self.std):
            raise ValueError(f"std is {self.std}; expected three numbers above 0")
        if self.channel_order not in _CHANNEL_ORDERS:
            raise ValueError(f"channel_order is {self.channel_order!r}; expected one of {_CHANNEL_ORDERS}")
        if self.resize not in _RESIZES:
            raise ValueError(f"resize is {self.resize!r}; expected one of {_RESIZES}")

    @classmethod
    def from_json(cls, text: str) -> Preprocessing:
        """Parse the output of `to_json`. Raises ModelFileError for anything else."""
        try:
            fields: Any = json.loads(text)
            return cls(
                size=tuple(fields["size"]),
                mean=tuple(fields["mean"]),
                std=tuple(fields["std"]),
                channel_order=fields["channel_order"],
                resize=fields["resize"],
            )
        except (KeyError, TypeError, ValueError) as error:
            reason = f"key {error} is missing" if isinstance(error, KeyError) else str(error)
            raise ModelFileError(
                f"the preprocessing in the file's metadata cannot be used: {reason}. It reads {text[:200]!r}; expected "
                'JSON like {"size": [384, 384], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], '
                '"channel_order": "RGB", "resize": "bicubic-antialiased"}. Export the file again with export-onnx.'
            ) from error

    def to_json(self) -> str:
        """One line of JSON with the keys size, mean, std, channel_order, resize."""
        return json.dumps(asdict(self))


AMCNET = Preprocessing(
    size=(384, 384),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    channel_order="RGB",
    resize="bicubic-antialiased",
)


def pwcnet(size: tuple[int, int]) -> Preprocessing:
    """Preprocessing of PWC-Net at `size` (width, height): BGR in [0, 1]."""
    return Preprocessing(size=size, mean=(0, 0, 0), std=(1, 1, 1), channel_order="BGR", resize="bilinear")


def raft(size: tuple[int, int]) -> Preprocessing:
    """Preprocessing of RAFT at `size` (width, height): RGB in [0, 1]."""
    return Preprocessing(size=size, mean=(0, 0, 0), std=(1, 1, 1), channel_order="RGB", resize="bilinear")
