"""An ONNX file of ours in memory, as calibration needs it: float32 weights, and types and shapes for all tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx import inliner, shape_inference

from ..runtime.errors import ModelFileError
from ..runtime.files.onnx_file import PRECISION, OnnxFile

_LARGE = 1024  # numbers; shapes, which inference has to know, are smaller


def load_float(path: Path) -> tuple[OnnxFile, ir.Model]:
    """The FP32 file at `path`, weights that are stored in 16 bits widened. Raises ModelFileError for other files."""
    file = OnnxFile.read(path)
    if file.metadata[PRECISION] != "fp32":
        raise ModelFileError(
            f"{path} is {file.metadata[PRECISION]!r}; expected 'fp32'; export it again with: export-onnx {file.model}"
        )
    model = ir.load(path)
    for node in list(model.graph):
        if node.op_type == "Cast" and node.inputs[0] is not None and node.inputs[0].is_initializer():
            _fold(model.graph, node)
    return file, model


def inline_functions(model: ir.Model) -> ir.Model:
    """A copy of `model` with the bodies of our functions in place of their calls, and types for what is inside."""
    hollow = model.clone()
    weights = _take_weights(hollow.graph)
    proto = inliner.inline_local_functions(ir.to_proto(hollow))
    for index, node in enumerate(proto.graph.node):
        node.name = node.name or f"{node.output[0]}/{index}"  # ONNX Runtime's quantizer goes by names
    filled = ir.from_proto(shape_inference.infer_shapes(proto, strict_mode=True))
    for value in filled.graph.inputs[len(model.graph.inputs) :]:
        value.const_value = weights[str(value.name)]
        filled.graph.register_initializer(value)
    del filled.graph.inputs[len(model.graph.inputs) :]
    return filled


def _take_weights(graph: ir.Graph) -> dict[str, ir.TensorProtocol]:
    """Make the large initializers inputs: onnx's functions copy a model several times, 700 MB for ResNet-101."""
    taken = {}
    for name, value in list(graph.initializers.items()):
        if value.const_value is not None and value.const_value.size > _LARGE:
            taken[name] = value.const_value
            value.const_value = None
            del graph.initializers[name]
            graph.inputs.append(value)
    return taken


def _fold(graph: ir.Graph, cast: ir.Node) -> None:
    """Store the float32 weights themselves, where there is a cast from 16 bits."""
    half, value = cast.inputs[0], cast.outputs[0]
    assert half is not None
    assert half.const_value is not None
    weights = half.const_value.numpy().astype(np.float32)
    name = str(value.name)
    wide = ir.Value(name=name, const_value=ir.tensor(weights), type=ir.TensorType(ir.DataType.FLOAT))
    wide.shape = ir.Shape(weights.shape)
    ir.convenience.replace_all_uses_with(value, wide)
    graph.remove(cast, safe=True)
    graph.register_initializer(wide)
    if not half.uses():
        del graph.initializers[str(half.name)]
