"""Precision report: FLOPs per precision, counted in the parsed network."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

COUNTED = ("convolution", "deconvolution", "matrix_multiply")
MIN_FP16_SHARE = 0.9
MIN_INT8_SHARE = 0.8  # attention, correlation and the first and last layers stay in FP32 or FP16
_MOST_FLOAT_LAYERS = 20
_DISPLAY = {"half": "FP16", "int8": "INT8", "float": "FP32"}  # TensorRT's name -> name in messages
_FUNCTION = re.compile(r"\| (\S+) \((Amc\w+)\)")  # "[ONNX Layer: node_of_x | level.warp/AmcWarp (AmcWarp)]"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer of a parsed network.

    kind, precision: lower-case names of TensorRT's enums, such as "convolution" and "half" (FP16), "float" (FP32),
    "int8". flops: 2 per multiply-add. origin: metadata that names the ONNX node.
    """

    name: str
    kind: str
    precision: str
    flops: int
    origin: str

    @property
    def place(self) -> str:
        """Name of the ONNX node, or of the call of the ONNX function (`Amc…`) that the layer is part of."""
        call = _FUNCTION.search(self.origin)
        return call[1] if call else self.name


@dataclass(frozen=True, kw_only=True)
class PrecisionReport:
    """Counts of a parsed network, by TensorRT's names of precisions ("half" is FP16, "float" FP32) and layer kinds.

    layers: precision -> number of convolutions and matrix products. flops: precision -> their FLOPs.
    kinds: kind of layer -> number, over all layers. functions: ONNX function (`Amc…`) -> number of calls.
    float_layers: names of the convolutions and matrix products in neither FP16 nor INT8; the 20 with the most FLOPs.
    """

    layers: dict[str, int]
    flops: dict[str, int]
    kinds: dict[str, int]
    functions: dict[str, int]
    float_layers: tuple[str, ...]

    @classmethod
    def of(cls, layers: Iterable[Layer]) -> PrecisionReport:
        """Count the layers of a parsed network."""
        layers = tuple(layers)
        counted = [layer for layer in layers if layer.kind in COUNTED]
        flops: Counter[str] = Counter()
        for layer in counted:
            flops[layer.precision] += layer.flops
        calls = {match.groups() for layer in layers for match in _FUNCTION.finditer(layer.origin)}
        wide = sorted((layer for layer in counted if not _is_low(layer.precision)), key=lambda layer: -layer.flops)
        return cls(
            layers=dict(Counter(layer.precision for layer in counted)),
            flops=dict(flops),
            kinds=dict(sorted(Counter(layer.kind for layer in layers).items())),
            functions=dict(sorted(Counter(function for _, function in calls).items())),
            float_layers=tuple(dict.fromkeys(layer.place for layer in wide))[:_MOST_FLOAT_LAYERS],
        )

    def share(self, precision: str) -> float:
        """Fraction of the FLOPs in `precision` (TensorRT's name), 0 to 1."""
        return self.flops.get(precision, 0) / max(sum(self.flops.values()), 1)

    @property
    def low_share(self) -> float:
        """Fraction of the FLOPs in FP16 or INT8, 0 to 1."""
        return sum(self.share(precision) for precision in self.flops if _is_low(precision))

    def __str__(self) -> str:
        parts = [
            f"{_DISPLAY.get(precision, precision)} {100 * self.share(precision):.1f} % ({number} layers)"
            for precision, number in sorted(self.layers.items(), key=lambda item: -self.flops[item[0]])
        ]
        return f"{sum(self.flops.values()) / 1e9:.1f} GFLOP in convolutions and matrix products: {', '.join(parts)}"


def _is_low(precision: str) -> bool:
    return precision in ("half", "int8")
