"""FP32 ONNX and a table of ranges -> Q/DQ ONNX, in the form that TensorRT takes or in the one that CPUs run fast."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnx_ir as ir

from ..runtime.errors import ModelFileError
from ..runtime.files.atomic import replacing
from ..runtime.files.onnx_file import INT8_TARGET, PRECISION
from .bias_correction import correct_biases
from .float_guard import guard_float
from .load_model import inline_functions, load_float
from .rules import left_in_float
from .table import CalibrationTable

Target = Literal["cpu", "tensorrt"]
TARGETS: tuple[Target, ...] = ("cpu", "tensorrt")

# Products are what TensorRT's parser takes and what its fusions look for. On a CPU a tensor that goes back to float
# between two of them costs more than the product gains, so whatever has a kernel for 8 bits is quantized.
PRODUCTS = ("Conv", "MatMul")
_CPU_OPERATORS = (*PRODUCTS, "Add", "Clip", "Concat", "LeakyRelu", "Mul", "Relu", "Resize")


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """The file, the nodes that compute in int8, and by reason those operators of the same kind that do not."""

    path: Path
    int8: tuple[str, ...]
    left: dict[str, tuple[str, ...]]


def quantize(
    source: Path, output: Path, table: CalibrationTable, *, target: Target, keep: Collection[str] = ()
) -> Quantized:
    """Write `output`: `source` (FP32) with Q/DQ nodes by `table`. What `keep` names stays in float too.

    tensorrt: int8, symmetric, weights per channel, biases in float, Conv and MatMul only, nothing behind them. cpu:
    uint8 activations with a zero point, weights int8 per channel, biases int32, and the operators between them; our
    functions are written out. Either way biases take back what rounding the weights adds on average, if the table has
    means. Raises ModelFileError for a table of another file, OutputError.
    """
    file, model = load_float(source)
    if table.model_sha256 != file.sha256():
        raise ModelFileError(
            f"the calibration table is of another file than {source}; calibrate it anew without --table"
        )
    if target == "cpu":
        model = inline_functions(model)
    rules, nodes = left_in_float(model.graph), _nodes(model, file.model, target)
    chosen = [name for name, node in nodes.items() if node not in rules and name not in keep]
    model.metadata_props.update({PRECISION: "int8", INT8_TARGET: target})
    proto = ir.to_proto(model)
    _own_weights(proto, chosen)
    correct_biases(proto, table, chosen)
    proto = _with_qdq(proto, table, target, chosen, operators_of(file.model, target))
    with replacing(output) as temporary:
        onnx.save(proto, temporary)
    left: dict[str, list[str]] = {}
    for name, node in nodes.items():
        if node in rules or name in keep:
            left.setdefault(rules.get(node, "asked for"), []).append(name)
    return Quantized(path=output, int8=tuple(chosen), left={reason: tuple(names) for reason, names in left.items()})


def candidates(source: Path, target: Target) -> dict[str, ir.Node]:
    """The nodes that `quantize` would quantize, by name."""
    file, model = load_float(source)
    if target == "cpu":
        model = inline_functions(model)
    rules = left_in_float(model.graph)
    return {name: node for name, node in _nodes(model, file.model, target).items() if node not in rules}


def _nodes(model: ir.Model, network: str, target: Target) -> dict[str, ir.Node]:
    operators = operators_of(network, target)
    return {str(node.name): node for node in model.graph if node.domain == "" and node.op_type in operators}


def operators_of(network: str, target: Target) -> tuple[str, ...]:
    """What is quantized. In PWC-Net products alone: with all operators, flow is slower and ten times less exact."""
    return _CPU_OPERATORS if target == "cpu" and network == "amcnet" else PRODUCTS


def _own_weights(model: onnx.ModelProto, nodes: Collection[str]) -> None:
    """Give each product weights of its own where one of `nodes` shares them, as PWC-Net's two pyramids do.

    A product that stays in float would get the rounded ones. And on CPUs without VNNI, ONNX Runtime 1.32 makes int8
    weights into uint8 ones so that sums do not overflow, and refuses a file in which it would do so twice.
    """
    users: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        if node.op_type in PRODUCTS:
            users[node.input[1]].append(node)
    for tensor in list(model.graph.initializer):
        sharing = users[tensor.name]
        if any(node.name in nodes for node in sharing):
            for node in sharing[1:]:
                copy = model.graph.initializer.add()
                copy.CopyFrom(tensor)
                copy.name = node.input[1] = f"{node.name}/weights"


def _with_qdq(
    model: onnx.ModelProto, table: CalibrationTable, target: Target, nodes: list[str], operators: tuple[str, ...]
) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    ranges = {name: (np.float32(r.low), np.float32(r.high)) for name, r in table.tensors.items()}
    tensorrt = target == "tensorrt"
    options: dict[str, Any] = {"WeightSymmetric": True, "ActivationSymmetric": tensorrt, "MinimumRealRange": 1e-4}
    if tensorrt:
        options |= {"QuantizeBias": False, "OpTypesToExcludeOutputQuantization": list(PRODUCTS)}
    quantizer = QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if tensorrt else QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, ranges),
        nodes_to_quantize=nodes,
        nodes_to_exclude=[],
        op_types_to_quantize=list(operators),
        extra_options=options,
    )
    if nodes:  # to ONNX Runtime none means all
        quantizer.quantize_model()
    quantized: onnx.ModelProto = quantizer.model.model
    if not tensorrt:
        guard_float(quantized)
    return quantized
