"""Operators and types that the ONNX parser of TensorRT 8.6 supports.

They are those of docs/operators.md of onnx-tensorrt 8.5, with the additions of its changelog for 8.6.
"""

from __future__ import annotations

from onnx import TensorProto

OPSET = 17  # the newest that it supports
_TYPES: dict[int, str] = {  # int64 is read as int32, and double as float
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP32",
    TensorProto.FLOAT16: "FP16",
    TensorProto.INT8: "INT8",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT32",
    TensorProto.BOOL: "BOOL",
    TensorProto.UINT8: "UINT8",
}
_SUPPORTED = {  # types of the first input -> operators
    "FP32 FP16": "Acos Acosh Asin Asinh Atan Atanh BatchNormalization Ceil Celu Cos Cosh CumSum Dropout Einsum Erf Exp "
    "Floor GRU GridSample GroupNormalization InstanceNormalization IsInf LRN LSTM LayerNormalization Log LogSoftmax "
    "LpNormalization MatMul MeanVarianceNormalization NonMaxSuppression NonZero Pow QuantizeLinear RNN Reciprocal "
    "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare Resize ReverseSequence RoiAlign Scan Sin Sinh Softmax Sqrt Tan Upsample",
    "FP32 FP16 INT32": "Abs Add ArgMax ArgMin DepthToSpace Div Equal Greater GreaterOrEqual IsNaN Less LessOrEqual Max "
    "Mean Min Mod Mul Neg Range Shrink SpaceToDepth Sub Sum TopK",
    "FP32 FP16 INT8": "Clip Conv ConvTranspose Elu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool HardSigmoid "
    "HardSwish LeakyRelu LpPool MaxPool PRelu Relu Round Selu Sigmoid Softplus Softsign Tanh ThresholdedRelu",
    "FP32 FP16 INT8 INT32": "AveragePool Pad Scatter ScatterElements ScatterND Sign",
    "FP32 FP16 INT32 BOOL": "Expand EyeLike Flatten If Loop OneHot Split Tile Where",
    "FP32 FP16 INT32 INT8 BOOL": "Concat ConstantOfShape Gather GatherElements GatherND Identity Reshape Shape Size "
    "Slice Squeeze Transpose Trilu Unsqueeze",
    "FP32 FP16 INT32 INT8 BOOL UINT8": "Cast",  # UINT8 at inputs and outputs of the network only
    "INT8": "DequantizeLinear",
    "BOOL": "And Not Or Xor",
}
_OPERATORS = {operator: types.split() for types, operators in _SUPPORTED.items() for operator in operators.split()}
_WITHOUT_INPUT = ("Constant", "RandomNormal", "RandomUniform")


def unsupported(operator: str, kind: int | None) -> str:
    """Return why TensorRT 8.6 does not support an operator of the standard domain; "" if it does.

    kind: TensorProto.DataType of the first input; None or 0 if there is no input or its type is unknown.
    """
    if operator in _WITHOUT_INPUT:
        return ""
    supported = _OPERATORS.get(operator)
    if supported is None:
        return f"TensorRT 8 has no {operator}"
    if not kind or _TYPES.get(kind) in supported:  # 0 is UNDEFINED
        return ""
    name = TensorProto.DataType.Name(kind).lower()
    return f"TensorRT 8 has no {operator} of {name}, only of {', '.join(supported)}"
