"""Fixtures for the calibration's tests: small real networks with seeded weights, and inputs for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from amcnet.export import Exported
from amcnet.runtime.files import onnx_file

InputBatches = list[dict[str, NDArray[Any]]]


@pytest.fixture(scope="session")
def light_onnx(exported: Callable[[str], Exported]) -> Path:
    """An AMC-Net with MobileNetV2, at 64x64, with weights in 32 bits."""
    return exported("light").file.path


@pytest.fixture(scope="session")
def pwcnet_file(exported: Callable[[str], Exported]) -> Path:
    """A PWC-Net at 128x64."""
    return exported("pwcnet").file.path


@pytest.fixture(scope="session")
def chain_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six convolutions in a row, `0` to `5`, of 4 channels each, and a head; only "image" goes through them."""
    rng = np.random.default_rng(0)
    shape = [1, 4, 16, 16]
    graph = helper.make_graph(
        [
            *(helper.make_node("Conv", [str(k), f"w{k}"], [str(k + 1)], name=f"{k}") for k in range(6)),
            helper.make_node("Conv", ["6", "head"], ["logits"], name="head"),
            helper.make_node("Add", ["logits", "flow_image"], ["mask"], name="add"),
        ],
        "chain",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, c, 16, 16])
            for name, c in (("0", 4), ("flow_image", 1))
        ],
        [helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 1, 16, 16])],
        [
            *(numpy_helper.from_array(rng.standard_normal((4, 4, 1, 1)).astype(np.float32), f"w{k}") for k in range(6)),
            numpy_helper.from_array(np.ones((1, 4, 1, 1), np.float32), "head"),
        ],
        value_info=[
            *(helper.make_tensor_value_info(str(k + 1), TensorProto.FLOAT, shape) for k in range(6)),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1, 16, 16]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    keys = (onnx_file.CHECKPOINT_SHA256, onnx_file.PREPROCESSING, onnx_file.TOOL_VERSION)
    helper.set_model_props(model, dict.fromkeys(keys, "0") | {onnx_file.MODEL: "amcnet", onnx_file.PRECISION: "fp32"})
    path = tmp_path_factory.mktemp("chain") / "chain.onnx"
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="session")
def make_batches() -> Callable[..., InputBatches]:
    """`make_batches(names, count, width)`: coarse noise 64 high, so that neighboring pixels are alike as in images."""

    def make(names: tuple[str, ...], count: int = 4, width: int = 64, seed: int = 0) -> InputBatches:
        rng = np.random.default_rng(seed)

        def image() -> NDArray[np.float32]:
            coarse = rng.standard_normal((1, 3, 8, width // 8)).astype(np.float32)
            return np.kron(coarse, np.ones((1, 1, 8, 8), np.float32))

        return [{name: image() for name in names} for _ in range(count)]

    return make
