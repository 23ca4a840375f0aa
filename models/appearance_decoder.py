"""Second decoder of the paper's variant for FBMS (Yang et al., ICCV 2021, section 4.1): appearance alone.

The original's layers were not published; these are ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention import Block
from .upsampling import upsample_twice


class AppearanceDecoder(nn.Module):
    """Fully convolutional decoder with skip connections (FCN, Long et al., CVPR 2015) over the gated image features.

    images: five features, fine to coarse, (B, widths[i], H/2^(i+1), W/2^(i+1)) -> mask (B, 1, H, W) in (0, 1). The
    score map of each level is upsampled and added to that of the next finer level.
    """

    def __init__(self, widths: tuple[int, ...], block: Block) -> None:
        super().__init__()
        self.scores = nn.ModuleList(nn.Sequential(block(w, w), nn.Conv2d(w, 1, 1)) for w in widths)

    def forward(self, images: list[Tensor]) -> Tensor:
        total = self.scores[4](images[4])
        for level in (3, 2, 1, 0):
            total = upsample_twice(total) + self.scores[level](images[level])
        return torch.sigmoid(upsample_twice(total))
