"""What a half file computes where nothing computes in half: on a CPU, by rounding each result.

ONNX Runtime's CPU kernels are in float32, and it drops the casts between them: a file typed float16 runs there as if
only its weights were rounded, and any comparison flatters it. Casts with nothing in half between them it keeps.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...runtime.files.atomic import replacing
from .graph_shapes import GraphShapes


def emulate_fp16(half: Path, target: Path) -> None:
    """Write `target`: the file `half` in float32, each result that is float16 there rounded to 16 bits and back.

    Sums inside one operator are in float32, as in kernels for half. What a GPU fuses (a convolution, its bias and its
    activation) is rounded once there and up to twice here. Values beyond 65504 become infinite. Raises OutputError if
    `target` cannot be written.
    """
    graph_shapes = GraphShapes.read(half)
    nodes = []
    for node in graph_shapes.nodes:
        rounding = []
        if node.op_type == "Cast" and graph_shapes.types[node.output[0]] == TensorProto.FLOAT16:
            node.attribute[0].i = TensorProto.FLOAT
        for index, name in enumerate(node.output):
            if graph_shapes.types.get(name) == TensorProto.FLOAT16:
                exact, rounded = f"{name}/exact", f"{name}/rounded"
                node.output[index] = exact
                rounding.append(helper.make_node("Cast", [exact], [rounded], to=TensorProto.FLOAT16))
                rounding.append(helper.make_node("Cast", [rounded], [name], to=TensorProto.FLOAT))
        nodes += [node, *rounding]
    model = onnx.load(half)
    for name in ("node", "value_info"):
        model.graph.ClearField(name)
    model.ClearField("functions")
    model.graph.node.extend(nodes)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    with replacing(target) as temporary:
        onnx.save(model, temporary)
