"""Load an ONNX file for calibration: FP32 weights, inlined functions, and types and shapes of all tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx import inliner, shape_inference

from ..runtime.errors import ModelFileError
from ..runtime.files.onnx_file import PRECISION, OnnxFile

_LARGE = 1024  # elements; constants of shapes, which inference needs, are smaller


def load_fp32(path: Path) -> tuple[OnnxFile, ir.Model]:
    """Load the FP32 file at `path`, with weights stored in FP16 converted to FP32.

    Raises ModelFileError for a file in another precision.
    """
    file = OnnxFile.read(path)
    if file.metadata[PRECISION] != "fp32":
        raise ModelFileError(
            f"{path} cannot be calibrated: got precision {file.metadata[PRECISION]!r}, expected 'fp32'. Fix: "
            f"export-onnx {file.model}"
        )
    model = ir.load(path)
    fold_stored_weights(model)
    return file, model


def fold_stored_weights(model: ir.Model) -> None:
    """Convert weights stored in FP16 with a cast after them to FP32 weights, in place."""
    for node in list(model.graph):
        if node.op_type == "Cast" and node.inputs[0] is not None and node.inputs[0].is_initializer():
            _fold(model.graph, node)


def inline_functions(model: ir.Model) -> ir.Model:
    """Return a copy of `model` with its functions inlined and the types of all tensors inferred."""
    without_weights = model.clone()
    weights = _detach_weights(without_weights.graph)
    proto = inliner.inline_local_functions(ir.to_proto(without_weights))
    for index, node in enumerate(proto.graph.node):
        node.name = node.name or f"{node.output[0]}/{index}"  # ONNX Runtime's quantizer identifies nodes by name
    inlined = ir.from_proto(shape_inference.infer_shapes(proto, strict_mode=True))
    for value in inlined.graph.inputs[len(model.graph.inputs) :]:
        value.const_value = weights[str(value.name)]
        inlined.graph.register_initializer(value)
    del inlined.graph.inputs[len(model.graph.inputs) :]
    return inlined


def _detach_weights(graph: ir.Graph) -> dict[str, ir.TensorProtocol]:
    """Turn large initializers into inputs: functions of onnx copy a model several times, 700 MB for ResNet-101."""
    weights = {}
    for name, value in list(graph.initializers.items()):
        if value.const_value is not None and value.const_value.size > _LARGE:
            weights[name] = value.const_value
            value.const_value = None
            del graph.initializers[name]
            graph.inputs.append(value)
    return weights


def _fold(graph: ir.Graph, cast: ir.Node) -> None:
    """Replace FP16 weights and the cast after them by FP32 weights."""
    stored, value = cast.inputs[0], cast.outputs[0]
    assert stored is not None
    assert stored.const_value is not None
    weights = stored.const_value.numpy().astype(np.float32)
    name = str(value.name)
    fp32 = ir.Value(name=name, const_value=ir.tensor(weights), type=ir.TensorType(ir.DataType.FLOAT))
    fp32.shape = ir.Shape(weights.shape)
    ir.convenience.replace_all_uses_with(value, fp32)
    graph.remove(cast, safe=True)
    graph.register_initializer(fp32)
    if not stored.uses():
        del graph.initializers[str(stored.name)]
