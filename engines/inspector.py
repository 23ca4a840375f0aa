"""The second precision receipt, from the engine itself: what the inspector says of the layers that TensorRT made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

# In the inspector's words for the format of a tensor, such as "Channel major FP16 format where channel % 8 == 0", of
# TensorRT 10 and later "Half" too.
_PRECISIONS = (
    ("bfloat16", re.compile(r"bf16|bfloat16", re.IGNORECASE)),
    ("half", re.compile(r"fp16|half", re.IGNORECASE)),
    ("fp8", re.compile(r"fp8", re.IGNORECASE)),
    ("int8", re.compile(r"int8", re.IGNORECASE)),
    ("float", re.compile(r"fp32|float", re.IGNORECASE)),
)


def kernel_precisions(layers: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Number of layers by the precision of their first output, most first; layers: see `Engine.layers`.

    The layers are those of the built engine, fused and chosen by the library, where the receipt of a build counts what
    the network asks for. "other" are shapes and indices, "unknown" layers of which the engine keeps the name only.
    """
    return dict(Counter(_precision(layer) for layer in layers).most_common())


def _precision(layer: Mapping[str, Any]) -> str:
    if "LayerType" not in layer:
        return "unknown"
    tensors = layer.get("Outputs") or layer.get("Inputs") or []
    words = str(tensors[0].get("Format/Datatype", "")) if tensors else ""
    return next((name for name, pattern in _PRECISIONS if pattern.search(words)), "other")
