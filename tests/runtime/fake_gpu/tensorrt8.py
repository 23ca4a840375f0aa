"""TensorRT 8.6.1 without a GPU, for tests: builds plans that run in the TensorRT of tensorrt.py, here `tensorrt10`.

As strict as the real one: its parser reads no functions, no CastLike and no INT8 weights; a network has an explicit
batch dimension; Q/DQ needs the flag INT8. And as weakly typed: it reports FLOAT for each floating-point tensor, and
runs each layer in the fastest precision that is enabled, unless it is constrained to another.
"""

from __future__ import annotations

import json
from enum import Enum, IntEnum
from typing import Any

import onnx
from onnx import TensorProto, shape_inference
from tensorrt10 import *  # type: ignore[import-not-found]  # noqa: F403

__version__ = "8.6.1"
NetworkDefinitionCreationFlag = IntEnum("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH", start=0)
BuilderFlag = Enum("BuilderFlag", "FP16 INT8 TF32 OBEY_PRECISION_CONSTRAINTS VERSION_COMPATIBLE")
DataType = Enum("DataType", "FLOAT HALF INT8 INT32 BOOL UINT8")
LayerType = Enum(
    "LayerType", "CONVOLUTION DECONVOLUTION MATRIX_MULTIPLY CONSTANT CAST QUANTIZE DEQUANTIZE GRID_SAMPLE OTHER"
)
MatrixOperation = Enum("MatrixOperation", "NONE TRANSPOSE")
ProfilingVerbosity = Enum("ProfilingVerbosity", "DETAILED")
_KINDS = {
    "Conv": LayerType.CONVOLUTION,
    "ConvTranspose": LayerType.DECONVOLUTION,
    "MatMul": LayerType.MATRIX_MULTIPLY,
    "Constant": LayerType.CONSTANT,
    "Cast": LayerType.CAST,
    "QuantizeLinear": LayerType.QUANTIZE,
    "DequantizeLinear": LayerType.DEQUANTIZE,
    "GridSample": LayerType.GRID_SAMPLE,
}
_DTYPES = {
    TensorProto.INT8: DataType.INT8,
    TensorProto.INT32: DataType.INT32,
    TensorProto.INT64: DataType.INT32,
    TensorProto.BOOL: DataType.BOOL,
    TensorProto.UINT8: DataType.UINT8,
}


class Logger:
    INFO = 3

    def __init__(self, level: int) -> None: ...


class ITensor:
    def __init__(self, name: str, kind: int, shape: tuple[int, ...]) -> None:
        self.name, self.shape = name, shape
        self.dtype = _DTYPES.get(kind, DataType.FLOAT)


class ILayer:
    def __init__(self, name: str, kind: LayerType, inputs: list[ITensor], outputs: list[ITensor]) -> None:
        self.name, self.type, self.metadata = name, kind, f"[ONNX Layer: {name}]"
        self.inputs, self.outputs = inputs, outputs
        self.num_inputs, self.num_outputs = len(inputs), len(outputs)
        self.precision: DataType | None = None
        self.output_types: dict[int, DataType] = {}

    def get_input(self, index: int) -> ITensor:
        return self.inputs[index]

    def get_output(self, index: int) -> ITensor:
        return self.outputs[index]

    def set_output_type(self, index: int, dtype: DataType) -> None:
        self.output_types[index] = dtype


class IConvolutionLayer(ILayer):
    @property
    def kernel_size_nd(self) -> tuple[int, ...]:
        return self.inputs[1].shape[2:]

    @property
    def num_groups(self) -> int:
        return self.inputs[0].shape[1] // self.inputs[1].shape[1]


class IDeconvolutionLayer(IConvolutionLayer):
    @property
    def num_output_maps(self) -> int:
        return self.inputs[1].shape[1]


class IMatrixMultiplyLayer(ILayer):
    op0 = MatrixOperation.NONE


class INetworkDefinition:
    def __init__(self) -> None:
        self.layers: list[ILayer] = []
        self.inputs: list[ITensor] = []
        self.outputs: list[ITensor] = []

    num_layers = property(lambda self: len(self.layers))
    num_inputs = property(lambda self: len(self.inputs))
    num_outputs = property(lambda self: len(self.outputs))

    def get_layer(self, index: int) -> ILayer:
        return self.layers[index]

    def get_input(self, index: int) -> ITensor:
        return self.inputs[index]

    def get_output(self, index: int) -> ITensor:
        return self.outputs[index]


class ParserError:
    def __init__(self, node: int, desc: str) -> None:
        self.number, self.text = node, desc

    def node(self) -> int:
        return self.number

    def desc(self) -> str:
        return self.text


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: Logger) -> None:
        self.network = network
        self.errors: list[ParserError] = []

    num_errors = property(lambda self: len(self.errors))

    def get_error(self, index: int) -> ParserError:
        return self.errors[index]

    def parse_from_file(self, path: str) -> bool:
        model = onnx.load(path)
        functions = {function.name for function in model.functions}
        for number, node in enumerate(model.graph.node):
            if node.op_type in functions or node.op_type == "CastLike":
                self.errors.append(ParserError(number, f"No importer registered for op: {node.op_type}"))
        for tensor in model.graph.initializer:
            if tensor.data_type == TensorProto.INT8 and len(tensor.dims) > 1:
                self.errors.append(ParserError(-1, f"{tensor.name}: invalid weights type of Int8"))
        if not self.errors:
            self._add(shape_inference.infer_shapes(model).graph)
        return not self.errors

    def _add(self, graph: onnx.GraphProto) -> None:
        tensors = {}
        for value in [*graph.input, *graph.value_info, *graph.output]:
            shape = tuple(dim.dim_value or -1 for dim in value.type.tensor_type.shape.dim)
            tensors[value.name] = ITensor(value.name, value.type.tensor_type.elem_type, shape)
        for tensor in graph.initializer:
            tensors[tensor.name] = ITensor(tensor.name, tensor.data_type, tuple(tensor.dims))
            self.network.layers.append(ILayer(tensor.name, LayerType.CONSTANT, [], [tensors[tensor.name]]))
        for node in graph.node:
            inputs = [tensors[name] for name in node.input if name]
            outputs = [tensors[name] for name in node.output]
            kind = _KINDS.get(node.op_type, LayerType.OTHER)
            self.network.layers.append(ILayer(node.name or node.output[0], kind, inputs, outputs))
        self.network.inputs = [tensors[value.name] for value in graph.input]
        self.network.outputs = [tensors[value.name] for value in graph.output]


class TimingCache:
    def serialize(self) -> bytes:
        return b"timings"


class IBuilderConfig:
    __slots__ = ("builder_optimization_level", "flags", "profiling_verbosity")  # and no progress_monitor

    def __init__(self) -> None:
        self.flags = {BuilderFlag.TF32}

    def set_flag(self, flag: BuilderFlag) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.remove(flag)

    def create_timing_cache(self, data: bytes) -> TimingCache:
        return TimingCache()

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        return True

    def get_timing_cache(self) -> TimingCache:
        return TimingCache()


class Builder:
    def __init__(self, logger: Logger) -> None: ...

    def create_network(self, flags: int) -> INetworkDefinition:
        assert flags == 1 << NetworkDefinitionCreationFlag.EXPLICIT_BATCH
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> bytes | None:
        quantized = any(layer.type == LayerType.QUANTIZE for layer in network.layers)
        if quantized and BuilderFlag.INT8 not in config.flags:
            return None
        dequantized = {
            tensor.name for layer in network.layers if layer.type == LayerType.DEQUANTIZE for tensor in layer.outputs
        }
        plan = {
            "inputs": {tensor.name: [tensor.dtype.name, tensor.shape] for tensor in network.inputs},
            "outputs": {tensor.name: [tensor.dtype.name, tensor.shape] for tensor in network.outputs},
            "formula": "amcnet" if network.inputs[0].name == "image" else "pwcnet",
            "flags": sorted(flag.name for flag in config.flags),
            "layers": [_built(layer, config, dequantized) for layer in network.layers],
        }
        return json.dumps(plan).encode()


def _built(layer: ILayer, config: IBuilderConfig, dequantized: set[str]) -> dict[str, Any]:
    """A layer in the engine inspector: in INT8 after DequantizeLinear, else as constrained, else the fastest."""
    fastest = DataType.HALF if BuilderFlag.FP16 in config.flags else DataType.FLOAT
    obeyed = BuilderFlag.OBEY_PRECISION_CONSTRAINTS in config.flags
    precision = (layer.precision if obeyed else None) or fastest
    if dequantized & {tensor.name for tensor in layer.inputs}:
        assert layer.precision is None, "would not run in INT8"
        precision = DataType.INT8
    written = (layer.output_types.get(0) if obeyed else None) or fastest
    form = written.name.capitalize()
    return {
        "Name": layer.name,
        "LayerType": layer.type.name,
        "Precision": precision.name,
        "Outputs": [{"Name": layer.outputs[0].name, "Format/Datatype": form}],
    }
