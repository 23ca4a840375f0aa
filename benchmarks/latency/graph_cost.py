"""Count multiply-adds and memory traffic of an ONNX graph, by layer and by group of layers."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...export.compare.multiply_adds import PRODUCTS
from ...runtime.errors import ModelFileError

if TYPE_CHECKING:
    import onnx

    from ...export.compare.graph_shapes import GraphShapes

# No cost: views of the same data, or computed once when the file is loaded.
_FREE = {"Constant", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Shape", "Size", "Squeeze"}
_FREE |= {"Unsqueeze"}
# Libraries fuse these into the product that feeds them; its result is still in registers.
_FUSED = {"Add", "BatchNormalization", "Cast", "Clip", "Div", "LeakyRelu", "Mul", "PRelu", "Relu", "Sigmoid", "Sub"}
_SELECT = {"Gather", "GatherElements", "Slice"}  # read as many bytes as they write
_BITS = {"DOUBLE": 64, "INT64": 64, "FLOAT": 32, "INT32": 32, "FLOAT16": 16, "BFLOAT16": 16, "BOOL": 8}
_BITS |= {"INT8": 8, "UINT8": 8, "INT4": 4, "UINT4": 4}
_BODY_TENSOR = re.compile(r"__\d+$")  # inside a function, after inlining


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One operator: `macs` multiply-adds (0 except for convolutions and matrix products), computed in `precision`
    ("fp32", "fp16" or "int8"), and `bytes` of memory traffic: operands and weights read once, result written once.
    """

    name: str
    group: str
    kind: str
    precision: str
    macs: int
    bytes: int

    @property
    def flops(self) -> int:
        return 2 * self.macs


@dataclass(frozen=True, kw_only=True)
class GraphCost:
    """The layers of a network in graph order, without those of no cost."""

    layers: tuple[Layer, ...]

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def flops(self) -> int:
        return 2 * self.macs

    @property
    def bytes(self) -> int:
        return sum(layer.bytes for layer in self.layers)

    @property
    def precision(self) -> str:
        """The precision of most multiply-adds."""
        return max(self.by_precision().items(), key=lambda item: item[1])[0] if self.macs else "fp32"

    def by_precision(self) -> dict[str, int]:
        """Multiply-adds by precision."""
        macs: Counter[str] = Counter()
        for layer in self.layers:
            if layer.macs:
                macs[layer.precision] += layer.macs
        return dict(macs)

    def groups(self) -> dict[str, GraphCost]:
        """The layers by part of the network, such as "image_stages"."""
        found: dict[str, list[Layer]] = defaultdict(list)
        for layer in self.layers:
            found[layer.group].append(layer)
        return {group: GraphCost(layers=tuple(layers)) for group, layers in found.items()}


def graph_cost(path: Path) -> GraphCost:
    """Count the ONNX file at `path` by shape inference, functions included; a free batch size counts as 1.

    Bytes assume no reuse in caches between operators, and elementwise operators fused into the product that feeds them.
    Q/DQ pairs define the type in which a tensor is stored and have no cost. Raises ModelFileError if the shapes of a
    product cannot be inferred.
    """
    from ...export.compare.graph_shapes import GraphShapes

    layers = _Counter(path, GraphShapes.read(path)).layers()
    return GraphCost(layers=tuple(layer for layer in layers if layer.bytes))


class _Counter:
    def __init__(self, path: Path, graph_shapes: GraphShapes) -> None:
        self._path, self._graph_shapes = path, graph_shapes
        self._nodes, self._types, self._dims = graph_shapes.nodes, graph_shapes.types, graph_shapes.dims
        self._makers = {name: node for node in graph_shapes.nodes for name in node.output}
        self._users: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph_shapes.nodes:
            for name in node.input:
                self._users[name].append(node)

    def layers(self) -> list[Layer]:
        layers = []
        for node, place in zip(self._nodes, _places(self._nodes), strict=True):
            if node.op_type in _FREE or self._is_constant(node):
                continue
            layers.append(
                Layer(
                    name=place,
                    group=_group(place),
                    kind=node.op_type,
                    precision=self._precision(node.input[0]),
                    macs=self._macs(node) if node.op_type in PRODUCTS else 0,
                    bytes=self._bytes(node),
                )
            )
        return layers

    def _macs(self, node: onnx.NodeProto) -> int:
        work = self._graph_shapes.multiply_adds(node)
        if work is None:
            raise ModelFileError(
                f"{self._path}: the shapes of {node.name or node.output[0]!r} cannot be inferred. "
                "Fix: export the file again"
            )
        return work

    def _bytes(self, node: onnx.NodeProto) -> int:
        if node.op_type in _SELECT:
            return 2 * self._size(node.output[0])
        fused = self._chain_input(node)
        read = sum(self._size(name) for name in node.input if name and name != fused)
        # The result of a fused chain is counted at its first operator, in the type in which its last one is stored.
        return read if fused else read + sum(self._size(name, self._end(name)) for name in node.output if name)

    def _chain_input(self, node: onnx.NodeProto) -> str | None:
        """The input that is fused from a product, or None."""
        if node.op_type not in _FUSED:
            return None
        return next((name for name in node.input if self._is_only_use(name) and self._from_product(name)), None)

    def _from_product(self, name: str) -> bool:
        maker = self._makers.get(name)
        return maker is not None and (maker.op_type in PRODUCTS or self._chain_input(maker) is not None)

    def _is_only_use(self, name: str) -> bool:
        return len(self._users[name]) == 1

    def _end(self, name: str) -> str:
        """The tensor that is written to memory for `name`: the end of a fused chain, or its quantized form."""
        users = self._users[name]
        if users and all(user.op_type == "QuantizeLinear" for user in users):
            return str(users[0].output[0])
        if len(users) == 1 and users[0].op_type in _FUSED and self._chain_input(users[0]) == name:
            return self._end(users[0].output[0])
        return name

    def _size(self, name: str, stored_as: str | None = None) -> int:
        """Bytes of a tensor; 0 without an inferred shape, as for small tensors inside functions."""
        if name not in self._dims:
            return 0
        return math.prod(self._dims[name]) * self._bits(stored_as or name) // 8

    def _bits(self, name: str) -> int:
        return _BITS.get(self._type(name), 32)

    def _type(self, name: str) -> str:
        from onnx import TensorProto

        maker = self._makers.get(name)
        if maker is not None and maker.op_type == "DequantizeLinear":
            return self._type(maker.input[0])
        return str(TensorProto.DataType.Name(self._types[name])) if name in self._types else "FLOAT"

    def _precision(self, name: str) -> str:
        return {8: "int8", 16: "fp16"}.get(self._bits(name), "fp32")

    def _is_constant(self, node: onnx.NodeProto) -> bool:
        """Whether `node` casts weights, which is done once at load time."""
        return node.op_type == "Cast" and node.input[0] not in self._makers


def _places(nodes: tuple[onnx.NodeProto, ...]) -> list[str]:
    """A name for each node; nodes of an inlined function take the name of its call."""
    places, call = [], ""
    for node in reversed(nodes):
        if not node.name and not _BODY_TENSOR.search(node.output[0]):
            call = node.output[0].partition(":")[0]  # the result of the body has the name of the call's result
        places.append(node.name or call or node.output[0])
    return places[::-1]


def _group(place: str) -> str:
    """ "flow_stages.0.0/Conv" -> "flow_stages", "estimators.1/AmcWarp" -> "AmcWarp"."""
    module, _, operator = place.rpartition("/")
    return operator if operator.startswith("Amc") else module.split(".")[0] or "rest"


def cost_json(cost: GraphCost) -> dict[str, Any]:
    """The entry "cost" of report.json: totals, precisions, groups, and the twenty layers with most multiply-adds."""
    heaviest = sorted(cost.layers, key=lambda layer: (-layer.macs, -layer.bytes))[:20]
    return {
        "flops": cost.flops,
        "bytes": cost.bytes,
        "precision": cost.precision,
        "flops_by_precision": {precision: 2 * macs for precision, macs in cost.by_precision().items()},
        "groups": {name: {"flops": group.flops, "bytes": group.bytes} for name, group in cost.groups().items()},
        "layers": [
            {"name": layer.name, "kind": layer.kind, "flops": layer.flops, "bytes": layer.bytes} for layer in heaviest
        ],
    }
