"""Builds with TensorRT 8.6: its differences from later versions, above all that its networks are weakly typed.

TensorRT 8.6 chooses the precision of each layer by speed, among FP32 and those that are enabled, and knows the type of
a tensor only after the build. So that an engine computes as its file says:

- FP32 file: no other precision is enabled.
- INT8 file: INT8 is enabled. The layers after a DequantizeLinear run in INT8, all others in FP32.
- FP16 file: FP16 is enabled, and each layer is constrained to the types of its tensors in the file. The build fails if
  the library has no implementation of a layer in its type (flag OBEY_PRECISION_CONSTRAINTS).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tensorrt import IBuilderConfig as V8BuilderConfig
    from tensorrt import ILayer as V8Layer
    from tensorrt import INetworkDefinition as V8Network
    from tensorrt import ITensor as V8Tensor
    from tensorrt import ParserError as V8ParserError

_FLOATS = ("float", "half")


def network_flags(v8: ModuleType) -> int:
    """The flags of a network whose batch dimension is explicit, as in later versions."""
    return 1 << int(v8.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)


def error_place(error: V8ParserError) -> str:
    """The number of the node, as the beginning of a message; TensorRT 8.6 knows neither its operator nor its name."""
    return f"node {error.node()}: " if error.node() >= 0 else ""


def file_types(model: Path) -> dict[str, str]:
    """Return the type of each tensor of the ONNX file `model`, by name, as TensorRT calls it: "half" for FP16.

    int64 is int32 in TensorRT 8.6. Tensors of other types, and of unknown ones, are left out.
    """
    from onnx import TensorProto

    from ..export.compare.graph_shapes import GraphShapes

    names: dict[int, str] = {
        TensorProto.FLOAT: "float",
        TensorProto.FLOAT16: "half",
        TensorProto.INT8: "int8",
        TensorProto.UINT8: "uint8",
        TensorProto.INT32: "int32",
        TensorProto.INT64: "int32",
        TensorProto.BOOL: "bool",
    }
    return {name: names[kind] for name, kind in GraphShapes.read(model).types.items() if kind in names}


def constrain(v8: ModuleType, network: V8Network, config: V8BuilderConfig, types: Mapping[str, str]) -> None:
    """Enable the precisions of the file with the tensor `types`, and constrain the layers to them as described above.

    types: tensor -> type in the file. A tensor that the parser added has no name of the file: it has the type of the
    first input of its layer that has one.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    quantization = (v8.LayerType.QUANTIZE, v8.LayerType.DEQUANTIZE)
    if any(layer.type in quantization for layer in layers):
        config.set_flag(v8.BuilderFlag.INT8)
    if "half" not in types.values():
        return
    config.set_flag(v8.BuilderFlag.FP16)
    config.set_flag(v8.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    known, dequantized = dict(types), set[str]()
    for layer in layers:
        inputs, outputs = list(_inputs(layer)), list(_outputs(layer))
        read = [known[tensor.name] for tensor in inputs if known.get(tensor.name) in _FLOATS]
        if read:
            for tensor in outputs:
                if tensor.dtype in (v8.DataType.FLOAT, v8.DataType.HALF):
                    known.setdefault(tensor.name, read[0])
        if layer.type == v8.LayerType.DEQUANTIZE:
            dequantized.update(tensor.name for tensor in outputs)
        if layer.type in (*quantization, v8.LayerType.CAST) or any(tensor.name in dequantized for tensor in inputs):
            continue  # their types are given: by the file, or INT8
        _constrain_layer(v8, layer, read, [known.get(tensor.name, "") for tensor in outputs])


def _constrain_layer(v8: ModuleType, layer: V8Layer, read: list[str], written: list[str]) -> None:
    """Compute in the type of the first floating-point input, or else output, and write in those of the outputs."""
    types: dict[str, Any] = {"float": v8.DataType.FLOAT, "half": v8.DataType.HALF}
    floats = [*read, *(name for name in written if name in _FLOATS)]
    if floats:
        layer.precision = types[floats[0]]
    for index, name in enumerate(written):
        if name in _FLOATS:
            layer.set_output_type(index, types[name])


def _inputs(layer: V8Layer) -> Iterator[V8Tensor]:
    for index in range(layer.num_inputs):
        tensor: V8Tensor | None = layer.get_input(index)
        if tensor is not None:  # an optional input that is not given
            yield tensor


def _outputs(layer: V8Layer) -> Iterator[V8Tensor]:
    for index in range(layer.num_outputs):
        yield layer.get_output(index)
