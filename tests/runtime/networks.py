"""Tiny networks as ONNX files, with a formula that a test can repeat in numpy, and broken ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from amcnet.runtime.files import onnx_file
from amcnet.runtime.preprocessing.spec import AMCNET, pwcnet, raft

BIAS = -0.7  # of the logits: about half of a clip's picture is inside
FLOW_SHARE = 0.5
FLOW_PX = 20


def expected_mask(image: NDArray[np.float64], flow_image: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the tiny AMC-Net answers to two (H, W, 3) uint8 RGB pictures of the network's size: (H, W) in (0, 1)."""
    mean, std = np.array(AMCNET.mean), np.array(AMCNET.std)
    still, moving = (((picture / 255 - mean) / std).mean(axis=2) for picture in (image, flow_image))
    return np.asarray(1 / (1 + np.exp(-(still + FLOW_SHARE * moving + BIAS))))


def make_amcnet(
    path: Path,
    *,
    output: str = "mask",
    nan: bool = False,
    channels: int = 3,
    network: str = "amcnet",
    metadata: bool = True,
    untrained: bool = False,
    explains: bool = False,
) -> Path:
    """Write an "AMC-Net" whose mask is sigmoid(mean(image) + FLOW_SHARE mean(flow_image) + BIAS) over the channels.

    `nan`: its mask is NaN throughout. `network` is what its metadata say. `channels` is a wrong number to ask for.
    `explains`: with attention maps, means of the mask over squares of 2 to 32 pixels, and gate scores: on all levels
    the mean of the mask for the image, and its square for the flow.
    """
    image, flow_image = (_value(name, (1, channels, 384, 384)) for name in ("image", "flow_image"))
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["still"], axes=[1]),
        helper.make_node("ReduceMean", ["flow_image"], ["moving"], axes=[1]),
        helper.make_node("Mul", ["moving", "share"], ["shared"]),
        helper.make_node("Add", ["still", "shared"], ["sum"]),
        helper.make_node("Add", ["sum", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], [output]),
    ]
    constants = {"share": np.float32(FLOW_SHARE), "bias": np.float32(np.nan if nan else BIAS)}
    tensors = [numpy_helper.from_array(np.array([value]), name) for name, value in constants.items()]
    outputs = [_value(output, (1, 1, 384, 384))]
    if explains:
        for level in range(5):
            square = 2 ** (level + 1)
            nodes.append(
                helper.make_node(
                    "AveragePool", [output], [f"attention{level}"], kernel_shape=[square] * 2, strides=[square] * 2
                )
            )
            outputs.append(_value(f"attention{level}", (1, 1, 384 // square, 384 // square)))
        nodes += [
            helper.make_node("ReduceMean", [output], ["mean"], axes=[2, 3], keepdims=1),
            helper.make_node("Reshape", ["mean", "one"], ["image_score"]),
            helper.make_node("Mul", ["image_score", "image_score"], ["flow_score"]),
            helper.make_node("Concat", ["image_score", "flow_score"], ["pair"], axis=2),
            helper.make_node("Concat", ["pair"] * 5, ["gate_scores"], axis=1),
        ]
        tensors.append(numpy_helper.from_array(np.array([1, 1, 1]), "one"))
        outputs.append(_value("gate_scores", (1, 5, 2)))
    graph = helper.make_graph(nodes, "tiny_amcnet", [image, flow_image], outputs, initializer=tensors)
    return _save(path, graph, network if metadata else None, AMCNET.to_json(), untrained)


def make_pwcnet(path: Path, size: tuple[int, int] = (128, 64), *, output: str = "flow", nan: bool = False) -> Path:
    """Write a "PWC-Net" for `size` (W, H): u and v are FLOW_PX times how much blue and red grew, over 4x4 pixels."""
    width, height = size
    frame, next_frame = (_value(name, (1, 3, height, width)) for name in ("frame", "next_frame"))
    weights = np.zeros((2, 3, 4, 4), np.float32)
    weights[0, 0] = weights[1, 2] = np.nan if nan else FLOW_PX / 16
    nodes = [
        helper.make_node("Sub", ["next_frame", "frame"], ["growth"]),
        helper.make_node("Conv", ["growth", "weights"], [output], strides=[4, 4]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny_pwcnet",
        [frame, next_frame],
        [_value(output, (1, 2, height // 4, width // 4))],
        initializer=[numpy_helper.from_array(weights, "weights")],
    )
    return _save(path, graph, "pwcnet", pwcnet(size).to_json(), untrained=False)


def make_raft(path: Path, size: tuple[int, int] = (101, 75)) -> Path:
    """Write a "RAFT" for `size` (W, H): u and v are FLOW_PX times how much red and blue grew, per pixel."""
    width, height = size
    frame, next_frame = (_value(name, (1, 3, height, width)) for name in ("frame", "next_frame"))
    weights = np.zeros((2, 3, 1, 1), np.float32)
    weights[0, 0] = weights[1, 2] = FLOW_PX
    nodes = [
        helper.make_node("Sub", ["next_frame", "frame"], ["growth"]),
        helper.make_node("Conv", ["growth", "weights"], ["flow"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny_raft",
        [frame, next_frame],
        [_value("flow", (1, 2, height, width))],
        initializer=[numpy_helper.from_array(weights, "weights")],
    )
    return _save(path, graph, "raft", raft(size).to_json(), untrained=False)


def _value(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _save(path: Path, graph: onnx.GraphProto, network: str | None, preprocessing: str, untrained: bool) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if network is not None:
        metadata = {
            onnx_file.MODEL: network,
            onnx_file.CHECKPOINT_SHA256: "untrained, seed 1" if untrained else "ab" * 32,
            onnx_file.PRECISION: "fp32",
            onnx_file.PREPROCESSING: preprocessing,
            onnx_file.TOOL_VERSION: "0",
        }
        helper.set_model_props(model, metadata)
    onnx.save(model, str(path))
    return path
