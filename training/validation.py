"""Validation: J and F of a network on held-out sequences."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from ..models.amcnet import AMCNet
from ..runtime.flow.flow_color import color_flow
from ..runtime.machine_info import available_cores
from ..runtime.metrics.boundary import boundary_accuracy
from ..runtime.metrics.region import region_similarity
from ..runtime.preprocessing.spec import AMCNET
from .data.sample import Sample


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Region similarity J (`region`) and boundary accuracy F (`boundary`) of DAVIS, in [0, 1]."""

    region: float
    boundary: float

    @property
    def mean(self) -> float:
        """J&F, the mean of J and F."""
        return (self.region + self.boundary) / 2

    @classmethod
    def average(cls, scores: list[Scores]) -> Scores:
        """Return the mean J and the mean F."""
        return cls(
            region=float(np.mean([score.region for score in scores])),
            boundary=float(np.mean([score.boundary for score in scores])),
        )

    def to_json(self) -> dict[str, float]:
        """Return {"J", "F", "J&F"}, rounded to 4 digits."""
        values = {"J": self.region, "F": self.boundary, "J&F": self.mean}
        return {key: round(value, 4) for key, value in values.items()}


def normalize(images: Tensor, device: torch.device) -> Tensor:
    """Convert images (B, H, W, 3) uint8 RGB -> (B, 3, H, W) float32, ImageNet-normalized, channels-last in memory."""
    values = images.to(device, non_blocking=True).permute(0, 3, 1, 2).float().div(255)
    mean, std = (torch.tensor(x, device=device).view(1, 3, 1, 1) for x in (AMCNET.mean, AMCNET.std))
    return ((values - mean) / std).contiguous(memory_format=torch.channels_last)


def score_sequences(network: AMCNet, sequences: Mapping[str, list[Sample]], size: int) -> dict[str, Scores]:
    """Return the mean J and F over the samples of each sequence.

    size: side length of the square network input, in px. The mask is resized to the annotation before thresholding at
    0.5. On a CPU the samples are processed in parallel, one per core.
    """
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()

    def score(sample: Sample) -> Scores:
        image = np.asarray(cv2.resize(sample.image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
        flow_image = color_flow(np.asarray(cv2.resize(sample.flow, (size, size)), np.float32))
        with torch.inference_mode():
            output = network(*(normalize(torch.from_numpy(x[None]), device) for x in (image, flow_image)))
        height, width = sample.mask.shape
        mask = cv2.resize(output.mask[0, 0].float().cpu().numpy(), (width, height)) >= 0.5
        truth = sample.mask > 0
        return Scores(region=region_similarity(mask, truth), boundary=boundary_accuracy(mask, truth))

    with ThreadPoolExecutor(available_cores() if device.type == "cpu" else 1) as pool:
        scores = {name: Scores.average(list(pool.map(score, samples))) for name, samples in sequences.items()}
    network.train(was_training)
    return scores
