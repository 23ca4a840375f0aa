"""EfficientNet-Lite0 and -Lite2 as encoders, without their last convolution and the classifier.

Tan and Le: EfficientNet, ICML 2019. The Lite networks (tensorflow/tpu, Apache-2.0) omit squeeze-and-excitation and have
ReLU6 in place of swish, which suits INT8. Lite2 is 1.1 times as wide as Lite0 (rounded to multiples of 8) and 1.2 times
as deep (rounded up), except for the stem and the numbers of blocks in the first and last group.
"""

from __future__ import annotations

from .inverted_residual import Group, Stages

EFFICIENTNET_LITE0: Stages = (
    (Group(1, 16, 1),),
    (Group(6, 24, 2),),
    (Group(6, 40, 2, 5),),
    (Group(6, 80, 3), Group(6, 112, 3, 5)),
    (Group(6, 192, 4, 5), Group(6, 320, 1)),
)
EFFICIENTNET_LITE2: Stages = (
    (Group(1, 16, 1),),
    (Group(6, 24, 3),),
    (Group(6, 48, 3, 5),),
    (Group(6, 88, 4), Group(6, 120, 4, 5)),
    (Group(6, 208, 5, 5), Group(6, 352, 1)),
)
