"""J of a network on sequences that are held out of training."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from ..export.preprocessing import AMCNET
from ..models.amcnet import AMCNet
from ..runtime.flow_image import color_flow
from ..runtime.mask_iou import mask_iou
from .sample import Sample


def normalise(pictures: Tensor, device: torch.device) -> Tensor:
    """(B, H, W, 3) uint8 RGB -> (B, 3, H, W) float32, ImageNet-normalised, channels last in memory."""
    values = pictures.to(device, non_blocking=True).permute(0, 3, 1, 2).float().div(255)
    mean, std = (torch.tensor(x, device=device).view(1, 3, 1, 1) for x in (AMCNET.mean, AMCNET.std))
    return ((values - mean) / std).contiguous(memory_format=torch.channels_last)


def mean_overlap(network: AMCNet, samples: list[Sample], size: int) -> float:
    """Mean J of `samples`, in [0, 1]: whole frames squeezed to `size`², masks compared at the annotations' size."""
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    overlaps = []
    for sample in samples:
        image = np.asarray(cv2.resize(sample.image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
        flow_image = color_flow(np.asarray(cv2.resize(sample.flow, (size, size)), np.float32))
        with torch.inference_mode():
            output = network(*(normalise(torch.from_numpy(x[None]), device) for x in (image, flow_image)))
        height, width = sample.mask.shape
        mask = cv2.resize(output.mask[0, 0].float().cpu().numpy(), (width, height)) >= 0.5
        truth = sample.mask > 0
        overlaps.append(mask_iou(mask, truth))
    network.train(was_training)
    return float(np.mean(overlaps))
