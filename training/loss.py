"""Segmentation loss: binary cross-entropies of mask and attention maps, and soft IoU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..models.amcnet import AMCNetDetails


def segmentation_loss(
    output: AMCNetDetails, mask: Tensor, iou_weight: float = 0.0, supervised_attentions: int = 5
) -> Tensor:
    """Return the loss as a scalar: Σ BCE(mask of a decoder) + Σ BCE(attention map) + iou_weight · (1 - soft IoU).

    mask: the annotation, (B, 1, H, W) float32, 0 or 1; for each attention map it is resized to the map by
    nearest-neighbor interpolation. supervised_attentions: number of attention maps in the loss, from the coarsest. The
    cross-entropies are the paper's loss (section 3.4); iou_weight 0 omits the rest.
    """
    # Cross-entropy of probabilities needs FP32: in BF16 0.998 rounds to 1.
    losses = [F.binary_cross_entropy(decoded.float(), mask) for decoded in output.decoder_masks]
    loss = torch.stack(losses).sum()
    for attention in output.attentions[max(0, len(output.attentions) - supervised_attentions) :]:
        smaller = F.interpolate(mask, size=attention.shape[2:], mode="nearest")
        loss = loss + F.binary_cross_entropy(attention.float(), smaller)
    if iou_weight > 0:
        loss = loss + iou_weight * (1 - soft_iou(output.mask.float(), mask)).mean()
    return loss


def soft_iou(probability: Tensor, mask: Tensor) -> Tensor:
    """Return Σ p·m / Σ (p + m - p·m) per sample, with 1 added to both sums for empty masks.

    probability, mask: (B, 1, H, W) in [0, 1]. Returns (B,) in [0, 1].
    """
    common = (probability * mask).sum((1, 2, 3))
    union = (probability + mask - probability * mask).sum((1, 2, 3))
    return torch.div(common + 1, union + 1)
