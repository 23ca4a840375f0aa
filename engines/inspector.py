"""Kernel precisions of a built engine, from the layer information of TensorRT's engine inspector."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

# Patterns in the inspector's description of a tensor format, such as "Channel major FP16 format where channel % 8 ==
# 0"; TensorRT 10 and later also write "Half".
_PRECISIONS = (
    ("bfloat16", re.compile(r"bf16|bfloat16", re.IGNORECASE)),
    ("half", re.compile(r"fp16|half", re.IGNORECASE)),
    ("fp8", re.compile(r"fp8", re.IGNORECASE)),
    ("int8", re.compile(r"int8", re.IGNORECASE)),
    ("float", re.compile(r"fp32|float", re.IGNORECASE)),
)


def kernel_precisions(layers: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Count layers by the precision of their first output, most frequent first; layers: see `Engine.layers`.

    These are the layers of the built engine, after fusion; the precision report counts those of the parsed network.
    "other": shapes and indices. "unknown": layers of which the engine stores the name only.
    """
    return dict(Counter(_precision(layer) for layer in layers).most_common())


def _precision(layer: Mapping[str, Any]) -> str:
    if "LayerType" not in layer:
        return "unknown"
    tensors = layer.get("Outputs") or layer.get("Inputs") or []
    description = str(tensors[0].get("Format/Datatype", "")) if tensors else ""
    return next((name for name, pattern in _PRECISIONS if pattern.search(description)), "other")
