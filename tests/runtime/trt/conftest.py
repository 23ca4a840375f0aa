"""Fixtures for the tests of engines: a fake engine with its card."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amcnet.runtime.trt.card import Card, card_path
from amcnet.runtime.trt.precision_report import PrecisionReport

PLAN = b"a plan, as far as its card is concerned"
PRECISION_REPORT = PrecisionReport(
    layers={"half": 9, "float": 1},
    flops={"half": 990, "float": 10},
    kinds={"convolution": 10},
    functions={"AmcCoAttention": 1},
    float_layers=("corrections.0/Conv",),
)


def _card(**changed: Any) -> Card:
    values = {
        "engine_sha256": hashlib.sha256(PLAN).hexdigest(),
        "engine_bytes": len(PLAN),
        "onnx_name": "amcnet.onnx",
        "onnx_sha256": "0" * 64,
        "onnx_metadata": {"amcnet.model": "amcnet", "amcnet.checkpoint_sha256": "untrained, seed 1"},
        "flavor": "tensorrt-rtx",
        "version": "1.7.1.116",
        "compute_capability": ("8.6", "8.9"),
        "gpu": None,
        "version_compatible": False,
        "hardware_compatible": False,
        "precision": "fp16",
        "inputs": ({"name": "image", "dtype": "float", "shape": [1, 3, 384, 384]},),
        "outputs": ({"name": "mask", "dtype": "float", "shape": [1, 1, 384, 384]},),
        "profile": {},
        "precision_report": PRECISION_REPORT,
        "rebuild": "build-engine amcnet.onnx --fp16 --flavor tensorrt-rtx",
        "build_seconds": 5.5,
        "built_at": "2026-01-01T00:00:00+00:00",
        "tool_version": "0.1.0",
    }
    return Card(**values | changed)


@pytest.fixture
def make_card() -> Callable[..., Card]:
    """`make_card(**changed)`: an FP16 AMC-Net built by TensorRT-RTX 1.7.1.116 for SM 8.6 and 8.9, but for `changed`."""
    return _card


@pytest.fixture
def write_engine(tmp_path: Path) -> Callable[..., Path]:
    """`write_engine(**changed)`: x.engine and its card."""

    def write(**changed: Any) -> Path:
        engine = tmp_path / "x.engine"
        engine.write_bytes(PLAN)
        card_path(engine).write_text(_card(**changed).to_json())
        return engine

    return write
