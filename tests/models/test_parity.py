"""The networks give the numbers of the original implementations, whatever convention the checkpoint follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from amcnet.models import load_amcnet, load_pwcnet

Checkpoints = Callable[[str], dict[str, torch.Tensor]]


def _planes(picture: np.ndarray) -> torch.Tensor:
    """(H, W, 3) -> (1, 3, H, W) float32."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32))


def test_amcnet_equals_the_original(
    shared: Callable[[str], Path], seeded_checkpoint: Checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = np.load(shared("reference/amcnet_seed1.npz"))
    network = load_amcnet(seeded_checkpoint("amcnet_state_dict"))
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    image, flow_image = (_planes((reference[name] / 255 - mean) / std) for name in ("image", "flow_image"))
    with torch.inference_mode():
        output = network(image, flow_image)
    results = {"mask": output.mask} | {f"attention{i}": a for i, a in enumerate(output.attentions)}
    assert set(results) == set(reference) - {"image", "flow_image", "seed"}
    differences = {name: float(np.abs(value.numpy() - reference[name]).max()) for name, value in results.items()}
    with capsys.disabled():
        print(
            "\nAMC-Net, max |difference| from the original: "
            + ", ".join(f"{k} {v:.1e}" for k, v in differences.items())
        )
    assert max(differences.values()) <= 2e-5


@pytest.mark.parametrize("convention", ["nvlabs", "sniklaus"])
def test_pwcnet_equals_the_original(
    convention: str,
    shared: Callable[[str], Path],
    seeded_checkpoint: Checkpoints,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reference = np.load(shared("reference/pwcnet_seed1.npz"))
    network = load_pwcnet(seeded_checkpoint(f"pwcnet_state_dict_{convention}"))
    frame, next_frame = (_planes(reference[name][..., ::-1] / 255) for name in ("frame", "next_frame"))
    with torch.inference_mode():
        flow = network(frame, next_frame)
    difference_px = float(np.abs(flow.numpy() - reference[f"flow_{convention}"]).max())
    with capsys.disabled():
        print(f"\nPWC-Net ({convention}), max |difference| from the original: {difference_px:.1e} px")
    assert difference_px <= 2e-3
