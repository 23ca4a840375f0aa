"""FP16 arithmetic on a CPU, emulated by rounding each result to FP16.

ONNX Runtime computes FP16 operators on the CPU in FP32 and removes the casts between them, so that only weights are
rounded: a comparison of an FP16 file there is too favorable. It keeps casts that have no FP16 operator between them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...runtime.files.atomic import replacing
from .graph_shapes import GraphShapes


def emulate_fp16(source: Path, target: Path) -> None:
    """Write `target`: the FP16 file `source` in FP32, with each FP16 result rounded to FP16 and back.

    Accumulation inside an operator is in FP32, as in FP16 kernels. Where a GPU fuses a convolution, its bias and its
    activation, it rounds once; the emulation rounds up to twice. Values beyond 65504 become infinite. Raises
    OutputError if `target` cannot be written.
    """
    graph = GraphShapes.read(source)
    nodes = []
    for node in graph.nodes:
        rounding = []
        if node.op_type == "Cast" and graph.types[node.output[0]] == TensorProto.FLOAT16:
            node.attribute[0].i = TensorProto.FLOAT
        for index, name in enumerate(node.output):
            if graph.types.get(name) == TensorProto.FLOAT16:
                exact, rounded = f"{name}/exact", f"{name}/rounded"
                node.output[index] = exact
                rounding.append(helper.make_node("Cast", [exact], [rounded], to=TensorProto.FLOAT16))
                rounding.append(helper.make_node("Cast", [rounded], [name], to=TensorProto.FLOAT))
        nodes += [node, *rounding]
    model = onnx.load(source)
    for field in ("node", "value_info"):
        model.graph.ClearField(field)
    model.ClearField("functions")
    model.graph.node.extend(nodes)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    with replacing(target) as temporary:
        onnx.save(model, temporary)
