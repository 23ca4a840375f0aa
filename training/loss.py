"""How far a prediction is from the annotation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..models.amcnet import AMCNetOutput


def segmentation_loss(output: AMCNetOutput, mask: Tensor, overlap_weight: float) -> Tensor:
    """mask (B, 1, H, W) float32, 0 or 1 -> a scalar: BCE(mask) + Σ BCE(attention map) + weight · (1 - soft IoU).

    The five attention maps are compared with the annotation at their size, by the nearest pixel (section 3.4).
    """
    # Cross-entropy of probabilities needs float32: in bfloat16 0.998 rounds to 1.
    loss = F.binary_cross_entropy(output.mask.float(), mask)
    for attention in output.attentions:
        smaller = F.interpolate(mask, size=attention.shape[2:], mode="nearest")
        loss = loss + F.binary_cross_entropy(attention.float(), smaller)
    if overlap_weight > 0:
        loss = loss + overlap_weight * (1 - soft_overlap(output.mask.float(), mask)).mean()
    return loss


def soft_overlap(probability: Tensor, mask: Tensor) -> Tensor:
    """(B, 1, H, W) each -> (B,) in [0, 1]: Σ p·m / Σ (p + m - p·m), plus one pixel on both sides for empty masks."""
    common = (probability * mask).sum((1, 2, 3))
    union = (probability + mask - probability * mask).sum((1, 2, 3))
    return torch.div(common + 1, union + 1)
