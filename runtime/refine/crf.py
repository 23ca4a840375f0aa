"""A dense CRF over the frame's colors, the paper's post-processing: 2.8 s a frame at 854x480, by choice only.

P. Krähenbühl, V. Koltun: Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials, NIPS 2011.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..extras import needed_by, require

STEPS = 5
CONVERGED_KL = 500.0  # change of the Kullback-Leibler divergence between two steps, over the whole picture
TAU = 1.05


def require_crf() -> None:
    """Raises BackendError without the package pydensecrf."""
    require("the dense CRF", "pydensecrf")


def refine(pixels: NDArray[np.uint8], probability: NDArray[np.float32]) -> NDArray[np.bool_]:
    """pixels (H, W, 3) uint8 RGB, probability (H, W) in [0, 1] -> a mask (H, W) bool that follows the frame's edges.

    Parameters of the original implementation: a smoothness kernel (3 px, weight 3) and an appearance kernel (30 px,
    5 gray levels, weight 5), symmetrically normalized; at most 5 mean-field steps. The original feeds thresholded
    masks, whose energies of 0 and 11.5 the kernels (8 at most) can hardly overrule; the probabilities let it work.
    Raises BackendError without the package pydensecrf.
    """
    with needed_by("the dense CRF"):
        from pydensecrf import densecrf
    height, width = probability.shape
    crf = densecrf.DenseCRF2D(width, height, 2)
    crf.setUnaryEnergy(unary_energy(probability))
    kernel = {"kernel": densecrf.DIAG_KERNEL, "normalization": densecrf.NORMALIZE_SYMMETRIC}
    crf.addPairwiseGaussian(sxy=3, compat=3, **kernel)
    crf.addPairwiseBilateral(sxy=30, srgb=5, rgbim=np.ascontiguousarray(pixels), compat=5, **kernel)
    labels, *scratch = crf.startInference()
    before = 0.0
    for _ in range(STEPS):
        crf.stepInference(labels, *scratch)
        divergence = crf.klDivergence(labels)
        if abs(divergence - before) < CONVERGED_KL:
            break
        before = divergence
    return np.asarray(np.argmax(labels, axis=0).reshape(height, width), np.bool_)


def unary_energy(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, H·W) float32, background then foreground, from a probability p (H, W).

    As in the original: e(p) = -ln(p + 1e-8) / (1.05 · sigmoid(p)); then -ln of e(p) for the background and of e(1 - p)
    for the foreground, each clipped to [1e-5, 1]. So 0 to 11.5, and 0 for both where p is near one half.
    """
    p = probability.ravel().astype(np.float64)
    foreground, background = (-np.log(q + 1e-8) / (TAU / (1 + np.exp(-q))) for q in (1 - p, p))
    return np.ascontiguousarray(-np.log(np.clip((background, foreground), 1e-5, 1)), np.float32)
