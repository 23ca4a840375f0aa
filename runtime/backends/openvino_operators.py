"""Custom operators of export/functions.py in OpenVINO, which does not read ONNX functions inside a file.

Each function converts a node of the ONNX file to nodes of OpenVINO and returns their outputs. Heights and widths are
fixed in the files; the batch size may be free.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_RADIUS = 4  # of the correlation


def operator_extensions(openvino: Any) -> list[Any]:
    """Extensions of the ONNX importer for the four operators of the domain `amcnet`."""
    operators = {
        "AmcCoAttentionGate": _gate,
        "AmcCoAttention": _co_attention,
        "AmcCorrelation": _correlation,
        "AmcWarp": _warp,
    }
    extension = openvino.frontend.onnx.ConversionExtension
    return [extension(name, "amcnet", convert) for name, convert in operators.items()]


def _gate(node: Any) -> list[Any]:
    """image, flow (B, C, H, W) and score (B, 2, H, W), as export/functions.py has it."""
    from openvino import opset13 as ops

    image, flow, score = (node.get_input(index) for index in range(3))
    gate = ops.reduce_mean(ops.sigmoid(score), np.array([2, 3]), keep_dims=True)  # (B, 2, 1, 1)
    image_gate, flow_gate = ops.split(gate, np.int64(1), 2).outputs()
    return [ops.multiply(image, image_gate).output(0), ops.multiply(flow, flow_gate).output(0)]


def _co_attention(node: Any) -> list[Any]:
    """image, flow (B, C, H, W) -> (B, C, H, W), as export/functions.py has it."""
    from openvino import opset13 as ops

    image, flow = (node.get_input(index) for index in range(2))
    flat = ops.constant(np.array([0, 0, -1], np.int64))
    image_pixels, flow_pixels = (ops.reshape(features, flat, special_zero=True) for features in (image, flow))
    scale = ops.constant(np.float32(1 / np.sqrt(image.get_partial_shape()[1].get_length())))
    logits = ops.multiply(ops.matmul(flow_pixels, image_pixels, True, False), scale)  # (B, HW of flow, HW of image)
    gathered = ops.matmul(image_pixels, ops.softmax(logits, -1), False, True)  # (B, C, HW)
    return [ops.reshape(gathered, ops.shape_of(image), special_zero=False).output(0)]


def _correlation(node: Any) -> list[Any]:
    """first, second (B, C, H, W) -> (B, 81, H, W), by banded products of rows as in export/functions.py."""
    from openvino import opset13 as ops

    first, second = (node.get_input(index) for index in range(2))
    channels, height, width = (first.get_partial_shape()[axis].get_length() for axis in (1, 2, 3))
    first_rows = ops.transpose(ops.multiply(first, np.float32(1 / channels)), np.array([0, 2, 3, 1]))  # (B, H, W, C)
    margin = np.array([0, 0, _RADIUS, _RADIUS])
    framed = ops.pad(second, margin, margin, "constant")
    second_rows = ops.transpose(framed, np.array([0, 2, 1, 3]))  # (B, H + 8, C, W + 8)
    bands = []
    for dy in range(2 * _RADIUS + 1):
        rows = ops.slice(second_rows, np.array([dy]), np.array([dy + height]), np.array([1]), np.array([1]))
        products = ops.matmul(first_rows, rows, False, False)  # (B, H, W, W + 8)
        flat = ops.reshape(products, np.array([0, 0, -1]), special_zero=True)
        padded = ops.pad(flat, np.array([0, 0, 0]), np.array([0, 0, width]), "constant")
        skewed = ops.reshape(padded, np.array([0, 0, width, -1]), special_zero=True)  # (B, H, W, W + 9)
        bands.append(
            ops.slice(skewed, np.array([0]), np.array([2 * _RADIUS + 1]), np.array([1]), np.array([3]))
        )  # (B, H, W, 9)
    return [ops.transpose(ops.concat(bands, 3), np.array([0, 3, 1, 2])).output(0)]


def _warp(node: Any) -> list[Any]:
    """features (B, C, H, W), flow (B, 2, H, W) -> features(x + flow), as in export/functions.py."""
    from openvino import opset13 as ops

    features, flow = (node.get_input(index) for index in range(2))
    height, width = (features.get_partial_shape()[axis].get_length() for axis in (2, 3))
    u, v = ops.split(flow, np.int64(1), 2).outputs()
    x = ops.add(u, np.arange(width, dtype=np.float32).reshape(1, 1, 1, width))
    y = ops.add(v, np.arange(height, dtype=np.float32).reshape(1, 1, height, 1))
    one = np.float32(1)
    planes = [
        ops.subtract(ops.multiply(place, np.float32(2 / max(size - 1, 1))), one)
        for place, size in ((x, width), (y, height))
    ]
    grid = ops.transpose(ops.concat(planes, 1), np.array([0, 2, 3, 1]))
    attributes = {"align_corners": True, "mode": "bilinear", "padding_mode": "zeros"}
    sampled = ops.grid_sample(features, grid, attributes)
    inside_x, inside_y = (
        ops.clamp(ops.minimum(ops.add(place, one), ops.subtract(np.float32(size), place)), 0.0, 1.0)
        for place, size in ((x, width), (y, height))
    )
    valid = ops.convert(ops.greater(ops.multiply(inside_x, inside_y), np.float32(0.999)), "f32")
    return [ops.multiply(sampled, valid).output(0)]
