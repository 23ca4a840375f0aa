"""An ONNX file without its weights: all nodes, functions written out, and the type and shape of every tensor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import helper, inliner, shape_inference

from ..multiply_adds import multiply_adds

_LARGE_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class GraphShapes:
    """nodes: those of the graph, with the bodies of `functions` (names) in place of calls. constants: small
    initializers. types: tensor -> TensorProto.DataType. dims: tensor -> its shape, 1 for a free size; no entry where it
    cannot be inferred.
    """

    nodes: tuple[onnx.NodeProto, ...]
    functions: tuple[str, ...]
    opset: int
    constants: dict[str, onnx.TensorProto]
    types: dict[str, int]
    dims: dict[str, tuple[int, ...]]

    def multiply_adds(self, node: onnx.NodeProto) -> int | None:
        """Those of a convolution or matrix product; None if a shape around it is not known."""
        names = (*node.input[:2], node.output[0])
        if any(name not in self.dims for name in names):
            return None
        transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        return multiply_adds(node.op_type, *(self.dims[name] for name in names), transposed=transposed)

    @classmethod
    def read(cls, path: Path) -> GraphShapes:
        """The skeleton of the file at `path`."""
        model = onnx.load(path)
        graph = model.graph
        # Inlining and inference copy the model; without the weights that is 1 MB instead of 600.
        for tensor in [tensor for tensor in graph.initializer if len(tensor.raw_data) > _LARGE_BYTES]:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
            graph.initializer.remove(tensor)
        functions = tuple(function.name for function in model.functions)
        opset = next((entry.version for entry in model.opset_import if entry.domain == ""), 0)
        model = shape_inference.infer_shapes(inliner.inline_local_functions(model), data_prop=True)
        graph = model.graph
        constants = {tensor.name: tensor for tensor in graph.initializer}
        types = {name: tensor.data_type for name, tensor in constants.items()}
        dims = {name: tuple(tensor.dims) for name, tensor in constants.items()}
        for value in [*graph.input, *graph.output, *graph.value_info]:
            types[value.name] = value.type.tensor_type.elem_type
            shape = [
                dim.dim_value if dim.HasField("dim_value") else 1 if dim.dim_param else -1
                for dim in value.type.tensor_type.shape.dim
            ]
            if value.type.tensor_type.HasField("shape") and -1 not in shape:
                dims[value.name] = tuple(shape)
        return cls(
            nodes=tuple(graph.node), functions=functions, opset=opset, constants=constants, types=types, dims=dims
        )
