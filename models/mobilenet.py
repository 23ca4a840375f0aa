"""MobileNetV2 1.0 (Sandler et al., CVPR 2018) as an encoder, without its last convolution and the classifier."""

from __future__ import annotations

from .inverted_residual import Group, Stages

MOBILENET_V2: Stages = (
    (Group(1, 16, 1),),
    (Group(6, 24, 2),),
    (Group(6, 32, 3),),
    (Group(6, 64, 4), Group(6, 96, 3)),
    (Group(6, 160, 3), Group(6, 320, 1)),
)
