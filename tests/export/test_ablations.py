"""Exports of the networks of the paper's ablation tables and of the FBMS variant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from ablations import ROWS

from amcnet.export import Seed, export_amcnet
from amcnet.models import AMCNet, AMCNetConfig, seed_weights

CONFIGS = {AMCNetConfig(backbone="mobilenet_v2", **row.get("architecture", {})): name for name, row in ROWS.items()}


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS, ids=CONFIGS.values())
def test_the_exported_variant_agrees_with_pytorch(config: AMCNetConfig, tmp_path: Path) -> None:
    exported = export_amcnet(Seed(number=1), tmp_path, config=config, size=(64, 64), with_attention=True)
    assert AMCNetConfig.from_json(exported.file.metadata["amcnet.config"]) == config

    image, flow_image = torch.randn(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        details = seed_weights(AMCNet(config), 1).details(image, flow_image)
    expected = {"mask": details.mask} | ({"gate_scores": details.gate_scores} if config.has_gates else {})
    expected |= {f"attention{5 - len(details.attentions) + i}": a for i, a in enumerate(details.attentions)}
    session = onnxruntime.InferenceSession(str(exported.file.path))
    names = [output.name for output in session.get_outputs()]
    assert sorted(names) == sorted(expected)
    results = session.run(names, {"image": image.numpy(), "flow_image": flow_image.numpy()})
    for name, result in zip(names, results, strict=True):
        np.testing.assert_allclose(result, expected[name].numpy(), atol=1e-4, err_msg=name)
