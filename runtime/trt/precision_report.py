"""The precision receipt: in which precision the parsed network computes, counted and not believed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

COUNTED = ("convolution", "deconvolution", "matrix_multiply")
MIN_FP16_SHARE = 0.9
MIN_INT8_SHARE = 0.8  # rules keep attention, correlation, and the ends of a network in float
_MOST_FLOAT_LAYERS = 20
_FUNCTION = re.compile(r"\| (\S+) \((Amc\w+)\)")  # "[ONNX Layer: node_of_x | level.warp/AmcWarp (AmcWarp)]"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer of a parsed network: its kind and precision in the library's words, and the ONNX node it comes from."""

    name: str
    kind: str
    precision: str
    flops: int
    origin: str

    @property
    def place(self) -> str:
        """The name of its ONNX node, or of the call of the function of ours that it is part of."""
        call = _FUNCTION.search(self.origin)
        return call[1] if call else self.name


@dataclass(frozen=True, kw_only=True)
class PrecisionReport:
    """layers: precision -> number of convolutions and matrix products. flops: precision -> their operations.

    kinds: kind of layer -> number, over all layers. functions: function of ours -> how often the network calls it.
    float_layers: where the convolutions and matrix products in neither half nor int8 are, the 20 with most work.
    """

    layers: dict[str, int]
    flops: dict[str, int]
    kinds: dict[str, int]
    functions: dict[str, int]
    float_layers: tuple[str, ...]

    @classmethod
    def of(cls, layers: Iterable[Layer]) -> PrecisionReport:
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
        """The part of the operations in this precision, 0 to 1."""
        return self.flops.get(precision, 0) / max(sum(self.flops.values()), 1)

    @property
    def low_share(self) -> float:
        """The part of the operations in half or int8, 0 to 1."""
        return sum(self.share(precision) for precision in self.flops if _is_low(precision))

    def __str__(self) -> str:
        parts = [
            f"{precision} {100 * self.share(precision):.1f} % ({number} layers)"
            for precision, number in sorted(self.layers.items(), key=lambda item: -self.flops[item[0]])
        ]
        return f"{sum(self.flops.values()) / 1e9:.1f} GFLOP in convolutions and matrix products: {', '.join(parts)}"


def _is_low(precision: str) -> bool:
    return precision in ("half", "int8")
