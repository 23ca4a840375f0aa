"""Quantize an FP32 ONNX file to INT8 with Q/DQ nodes, for TensorRT or for CPUs."""

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
from .load_model import inline_functions, load_fp32
from .rules import fp32_nodes
from .table import CalibrationTable

Target = Literal["cpu", "tensorrt"]

# TensorRT's parser and its fusions expect Q/DQ at convolutions and matrix products. On a CPU, converting a tensor to
# FP32 between two of them costs more than INT8 gains, so that all operators with INT8 kernels are quantized.
PRODUCTS = ("Conv", "MatMul")
_CPU_OPERATORS = (*PRODUCTS, "Add", "Clip", "Concat", "LeakyRelu", "Mul", "Relu", "Resize")


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """An INT8 file.

    int8_nodes: names of the quantized nodes. float_nodes: reason -> names of the nodes of the same operators that stay
    FP32; the reason is the name of a rule, or "requested" for `keep_float`.
    """

    path: Path
    int8_nodes: tuple[str, ...]
    float_nodes: dict[str, tuple[str, ...]]


def quantize(
    source: Path, output: Path, table: CalibrationTable, *, target: Target, keep_float: Collection[str] = ()
) -> Quantized:
    """Quantize the FP32 file `source` with the ranges of `table`, and write it to `output`.

        table = CalibrationTable.read(Path("amcnet.int8.json"))
        quantize(Path("amcnet.onnx"), Path("amcnet.int8.onnx"), table, target="tensorrt")

    Args:
        source: FP32 file of export-onnx.
        output: INT8 file to write.
        table: ranges and channel means of all tensors of `source`. Biases are corrected with the means, if there are
            any: see bias_correction.py.
        target: "tensorrt" for symmetric INT8, weights per channel, FP32 biases, and Q/DQ before Conv and MatMul only.
            "cpu" for uint8 activations with zero points, INT8 weights per channel, int32 biases, and all operators with
            INT8 kernels (AMC-Net) or Conv and MatMul (PWC-Net, pipeline); functions are inlined.
        keep_float: names of nodes that stay FP32, in addition to those of rules.py.

    Raises:
        ModelFileError: `source` is not FP32, or `table` is of another file.
        OutputError: `output` cannot be written.
    """
    file, model = load_fp32(source)
    if table.model_sha256 != file.sha256():
        raise ModelFileError(
            f"the calibration table is of another file: got SHA-256 {table.model_sha256[:12]}, expected "
            f"{file.sha256()[:12]} of {source}. Fix: calibrate without --table"
        )
    if target == "cpu":
        model = inline_functions(model)
    rules, nodes = fp32_nodes(model.graph), _nodes(model, file.model, target)
    chosen = [name for name, node in nodes.items() if node not in rules and name not in keep_float]
    model.metadata_props.update({PRECISION: "int8", INT8_TARGET: target})
    proto = ir.to_proto(model)
    _unshare_weights(proto, chosen)
    correct_biases(proto, table, chosen)
    proto = _with_qdq(proto, table, target, chosen, _operators(file.model, target))
    with replacing(output) as temporary:
        onnx.save(proto, temporary)
    float_nodes: dict[str, list[str]] = {}
    for name, node in nodes.items():
        if node in rules or name in keep_float:
            float_nodes.setdefault(rules.get(node, "requested"), []).append(name)
    by_reason = {reason: tuple(names) for reason, names in float_nodes.items()}
    return Quantized(path=output, int8_nodes=tuple(chosen), float_nodes=by_reason)


def candidates(source: Path, target: Target) -> dict[str, ir.Node]:
    """Return the nodes that `quantize` quantizes by default, by name."""
    file, model = load_fp32(source)
    if target == "cpu":
        model = inline_functions(model)
    rules = fp32_nodes(model.graph)
    return {name: node for name, node in _nodes(model, file.model, target).items() if node not in rules}


def _nodes(model: ir.Model, kind: str, target: Target) -> dict[str, ir.Node]:
    operators = _operators(kind, target)
    return {str(node.name): node for node in model.graph if node.domain == "" and node.op_type in operators}


def _operators(kind: str, target: Target) -> tuple[str, ...]:
    # PWC-Net with all operators in INT8 is slower, and the error of its flow ten times larger.
    return _CPU_OPERATORS if target == "cpu" and kind == "amcnet" else PRODUCTS


def _unshare_weights(model: onnx.ModelProto, nodes: Collection[str]) -> None:
    """Copy weights that one of `nodes` shares with other operators, as in the two pyramids of PWC-Net.

    An operator that stays FP32 would get the quantized weights. On CPUs without VNNI, ONNX Runtime 1.32 converts INT8
    weights to uint8 to prevent overflow, and fails if it has to convert the same weights twice.
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
    if nodes:  # ONNX Runtime would quantize all nodes for an empty list
        quantizer.quantize_model()
    quantized: onnx.ModelProto = quantizer.model.model
    if not tensorrt:
        guard_float(quantized)
    return quantized
