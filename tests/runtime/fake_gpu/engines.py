"""Engines for the TensorRT of the tests (tensorrt.py), with their cards: `make_engine(path, "amcnet")`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from amcnet.runtime.files import onnx_file
from amcnet.runtime.preprocessing.spec import AMCNET, Preprocessing, pwcnet, raft
from amcnet.runtime.trt.card import Card, card_path
from amcnet.runtime.trt.precision_report import PrecisionReport

_PRECISION_REPORT = PrecisionReport(layers={}, flops={}, kinds={}, functions={}, float_layers=())


def make_engine(
    path: Path, network: str, *, size: tuple[int, int] = (64, 48), card: dict[str, Any] | None = None, **plan: Any
) -> Path:
    """Write an engine of `network` and its card. `size` is not that of an AMC-Net; `plan` changes the plan."""
    width, height = size
    picture, frame = [1, 3, 384, 384], [1, height, width, 3]
    tensors: dict[str, dict[str, Any]] = {
        "amcnet": {
            "inputs": {"image": ["FLOAT", picture], "flow_image": ["FLOAT", picture]},
            "outputs": {"mask": ["FLOAT", [1, 1, 384, 384]]},
        },
        "pwcnet": {
            "inputs": {name: ["FLOAT", [1, 3, height, width]] for name in ("frame", "next_frame")},
            "outputs": {"flow": ["FLOAT", [1, 2, height // 4, width // 4]]},
        },
        "raft": {
            "inputs": {name: ["FLOAT", [1, 3, height, width]] for name in ("frame", "next_frame")},
            "outputs": {"flow": ["FLOAT", [1, 2, height, width]]},
        },
        "pipeline": {
            "inputs": {"frame": ["UINT8", frame], "next_frame": ["UINT8", frame]},
            "outputs": {"mask": ["FLOAT", [1, height, width]]},
        },
    }
    preprocessing = {
        "amcnet": AMCNET,
        "pwcnet": pwcnet(size),
        "raft": raft(size),
        "pipeline": Preprocessing(size=size, mean=(0, 0, 0), std=(1, 1, 1), channel_order="RGB", resize="inside"),
    }
    data = json.dumps(tensors[network] | {"formula": network} | plan).encode()
    path.write_bytes(data)
    values: dict[str, Any] = {
        "engine_sha256": hashlib.sha256(data).hexdigest(),
        "engine_bytes": len(data),
        "onnx_name": f"{network}.onnx",
        "onnx_sha256": "0" * 64,
        "onnx_metadata": {
            onnx_file.MODEL: network,
            onnx_file.CHECKPOINT_SHA256: "ab" * 32,
            onnx_file.PRECISION: "fp32",
            onnx_file.PREPROCESSING: preprocessing[network].to_json(),
            onnx_file.TOOL_VERSION: "0",
        },
        "flavor": "tensorrt",
        "version": "10.16.1.11",
        "compute_capability": ("8.6",),
        "gpu": "Made-up GPU",
        "version_compatible": False,
        "hardware_compatible": False,
        "precision": "fp16",
        "inputs": (),
        "outputs": (),
        "profile": {},
        "precision_report": _PRECISION_REPORT,
        "rebuild": f"build-engine {network}.onnx --fp16 --flavor tensorrt",
        "build_seconds": 1.0,
        "built_at": "2026-01-01T00:00:00+00:00",
        "tool_version": "0",
    }
    card_path(path).write_text(Card(**values | (card or {})).to_json())
    return path
