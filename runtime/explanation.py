"""Explanation of a mask: the attention maps and the co-attention scores that the network computed for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .errors import ModelFileError
from .files.onnx_file import ModelFile

LEVELS = 5
_MAPS = tuple(f"attention{level}" for level in range(LEVELS))
_SCORES = "gate_scores"
EXPLANATION_OUTPUTS = (*_MAPS, _SCORES)
"""Outputs of an AMC-Net that was exported with `--with-attention`."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Values inside AMC-Net for one frame, on five levels from the finest (half the input size) to the coarsest (1/32).

        m.explanation.scores[:, 1] / m.explanation.scores.sum(axis=1)  # share of motion per level

    `flow_image` is the network's second input, (h, w, 3) uint8 RGB. `attentions` are the maps of the motion correction
    modules, (h/2, w/2) … (h/32, w/32) float32 in (0, 1). `scores` are the co-attention scores, (5, 2) float32 in
    (0, 1): the factors of the gates on the features of the image and of the flow. All are values of the single frame,
    before the temporal filter. Yang et al., ICCV 2021, sections 3.2 and 3.3.
    """

    flow_image: NDArray[np.uint8]
    attentions: tuple[NDArray[np.float32], ...]
    scores: NDArray[np.float32]

    @classmethod
    def of(cls, flow_image: NDArray[np.uint8], outputs: Mapping[str, NDArray[np.float32]]) -> Self:
        """The explanation in `outputs` of a network, which have a batch of one frame."""
        return cls(flow_image, tuple(outputs[name][0, 0] for name in _MAPS), outputs[_SCORES][0])


def require_explainable(file: ModelFile) -> None:
    """Raises ModelFileError for a file without the outputs of an explanation."""
    missing = [name for name in EXPLANATION_OUTPUTS if name not in file.outputs]
    if missing:
        raise ModelFileError(
            f"{file.path}: masks cannot be explained: got the outputs {', '.join(file.outputs)}, expected also "
            f"{', '.join(missing)}. Fix: export-onnx amcnet --checkpoint CHECKPOINT --with-attention, and --amcnet "
            "with that file, or --engine with one built from it"
        )
