"""Each custom operator in ONNX Runtime compared with numpy."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from amcnet.export.functions import DOMAIN, VERSION, functions
from amcnet.models.correlation_volume import correlation_volumes, lookup

OPSET = 17
_AXES = {"offsets": "k"}  # inputs that are not maps
FUNCTIONS = {function.name: function for function in functions(OPSET)}


@functools.cache
def _session(name: str, opset: int = OPSET) -> onnxruntime.InferenceSession:
    """A model of one node, which calls the operator."""
    function = next(f for f in functions(opset) if f.name == name)
    values = [
        [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, [f"{n}_{axis}" for axis in _AXES.get(n, "bchw")])
            for n in names
        ]
        for names in (function.input, function.output)
    ]
    node = helper.make_node(name, list(function.input), list(function.output), domain=DOMAIN)
    model = helper.make_model(
        helper.make_graph([node], name, *values),
        functions=[function],
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, VERSION)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def _run(name: str, *inputs: np.ndarray) -> list[np.ndarray]:
    return _session(name).run(None, dict(zip(FUNCTIONS[name].input, inputs, strict=True)))


def _numpy_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    height, width = first.shape[2:]
    padded = np.pad(second.astype(np.float64), ((0, 0), (0, 0), (4, 4), (4, 4)))
    shifted = [padded[:, :, y : y + height, x : x + width] for y in range(9) for x in range(9)]
    return np.stack([(first * s).mean(1) for s in shifted], 1)


def _numpy_warp(features: np.ndarray, flow: np.ndarray) -> np.ndarray:
    batch, channels, height, width = features.shape
    framed = np.zeros((batch, channels, height + 2, width + 2))
    framed[:, :, 1:-1, 1:-1] = features
    y, x = np.mgrid[:height, :width].astype(np.float64)
    out = np.zeros(features.shape)
    for b in range(batch):
        to_x, to_y = np.clip(x + flow[b, 0], -1, width), np.clip(y + flow[b, 1], -1, height)
        left, top = (
            np.minimum(np.floor(to_x).astype(int), width - 1),
            np.minimum(np.floor(to_y).astype(int), height - 1),
        )
        right_part, lower_part = to_x - left, to_y - top
        total = 0
        for down in (0, 1):
            for right in (0, 1):
                weight = (right_part if right else 1 - right_part) * (lower_part if down else 1 - lower_part)
                row, column = top + down, left + right
                out[b] += weight * framed[b][:, row + 1, column + 1]
                total = total + weight * ((row >= 0) & (row < height) & (column >= 0) & (column < width))
        out[b] *= total > 0.999
    return out


def _numpy_co_attention(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    batch, channels = image.shape[:2]
    pixels, asking = (x.reshape(batch, channels, -1).transpose(0, 2, 1).astype(np.float64) for x in (image, flow))
    logits = asking @ pixels.transpose(0, 2, 1) / np.sqrt(channels)  # (B, HW, HW)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return (weights @ pixels).transpose(0, 2, 1).reshape(image.shape)


shapes = st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(1, 12), st.integers(1, 12))
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=40)
@given(shapes, seeds)
def test_correlation_agrees_with_pytorch(shape: tuple[int, ...], seed: int) -> None:
    first, second = np.random.default_rng(seed).standard_normal((2, *shape)).astype(np.float32)
    np.testing.assert_allclose(_run("AmcCorrelation", first, second)[0], _numpy_correlation(first, second), atol=1e-5)


@settings(max_examples=40)
@given(shapes, seeds, st.sampled_from([0.0, 0.5, 3.0, 40.0]))
def test_warp_agrees_with_pytorch(shape: tuple[int, ...], seed: int, motion_px: float) -> None:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal(shape).astype(np.float32)
    flow = (motion_px * rng.standard_normal((shape[0], 2, *shape[2:]))).astype(np.float32)
    np.testing.assert_allclose(_run("AmcWarp", features, flow)[0], _numpy_warp(features, flow), atol=2e-4)


@settings(max_examples=40)
@given(shapes, seeds)
def test_co_attention_agrees_with_pytorch(shape: tuple[int, ...], seed: int) -> None:
    image, flow = np.random.default_rng(seed).standard_normal((2, *shape)).astype(np.float32)
    np.testing.assert_allclose(_run("AmcCoAttention", image, flow)[0], _numpy_co_attention(image, flow), atol=1e-5)


@settings(max_examples=40)
@given(shapes, seeds)
def test_co_attention_gate_agrees_with_pytorch(shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    image, flow = rng.standard_normal((2, *shape)).astype(np.float32)
    score = rng.standard_normal((shape[0], 2, *shape[2:])).astype(np.float32)
    gate = (1 / (1 + np.exp(-score.astype(np.float64)))).mean((2, 3), keepdims=True)
    gated_image, gated_flow = _run("AmcCoAttentionGate", image, flow, score)
    np.testing.assert_allclose(gated_image, image * gate[:, :1], atol=1e-5)
    np.testing.assert_allclose(gated_flow, flow * gate[:, 1:], atol=1e-5)


def _maps(count: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


def _lookup_inputs(seed: int, shape: tuple[int, ...] = (2, 3, 9, 10), motion_px: float = 3) -> list[np.ndarray]:
    """Four volumes, coordinates and offsets; test_operators.py holds the PyTorch functions against loops."""
    first, second = map(torch.from_numpy, _maps(2, shape, seed))
    grid = np.stack(np.meshgrid(np.arange(shape[3]), np.arange(shape[2])))
    coordinates = grid + motion_px * np.random.default_rng(seed).standard_normal((shape[0], *grid.shape))
    offsets = np.arange(-2, 3, dtype=np.float32)
    volumes = [volume.numpy() for volume in correlation_volumes(first, second)]
    return [*volumes, coordinates.astype(np.float32), offsets]


pyramids = st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(8, 20), st.integers(8, 20))


@settings(max_examples=20)
@given(pyramids, seeds)
def test_correlation_volumes_agree_with_pytorch(shape: tuple[int, ...], seed: int) -> None:
    first, second = _maps(2, shape, seed)
    expected = correlation_volumes(torch.from_numpy(first), torch.from_numpy(second))
    for result, volume in zip(_run("AmcCorrelationVolumes", first, second), expected, strict=True):
        np.testing.assert_allclose(result, volume.numpy(), atol=1e-5)


@settings(max_examples=20)
@given(pyramids, seeds, st.sampled_from([0.0, 0.5, 3.0, 40.0]))
def test_correlation_lookup_agrees_with_pytorch(shape: tuple[int, ...], seed: int, motion_px: float) -> None:
    inputs = _lookup_inputs(seed, shape, motion_px)
    *volumes, coordinates, offsets = map(torch.from_numpy, inputs)
    expected = lookup(volumes, coordinates, offsets).numpy()
    np.testing.assert_allclose(_run("AmcCorrelationLookup", *inputs)[0], expected, atol=2e-4)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_bodies_are_valid_in_opset_18(name: str) -> None:
    inputs = _lookup_inputs(0) if "Lookup" in name else _maps(len(FUNCTIONS[name].input), (1, 2, 9, 10))
    input_batches = dict(zip(FUNCTIONS[name].input, inputs, strict=True))
    for old, new in zip(
        _session(name).run(None, input_batches), _session(name, 18).run(None, input_batches), strict=True
    ):
        np.testing.assert_array_equal(old, new)


def test_names_differ_from_all_onnx_operators() -> None:
    standard = {schema.name.lower() for schema in onnx.defs.get_all_schemas()}
    assert len(FUNCTIONS) == 6
    assert not standard & {name.lower() for name in FUNCTIONS}
    assert all(name.startswith("Amc") for name in FUNCTIONS)
