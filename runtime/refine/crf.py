"""Dense CRF refinement, the optional post-processing of the paper: 2.8 s per frame at 854x480.

P. Krähenbühl, V. Koltun: Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials, NIPS 2011.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..extras import needed_by, require

STEPS = 5
CONVERGED_KL = 500.0  # change of the Kullback-Leibler divergence between two steps, summed over the image
TAU = 1.05


def require_crf() -> None:
    """Raise BackendError if the package pydensecrf is not installed."""
    require("the dense CRF", "pydensecrf")


def refine(pixels: NDArray[np.uint8], probability: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return a mask (H, W) bool whose edges follow those of the frame.

    pixels: (H, W, 3) uint8 RGB. probability: (H, W) float32 in [0, 1].

    Parameters of the original implementation: a smoothness kernel (3 px, weight 3) and an appearance kernel (30 px,
    5 gray levels, weight 5), symmetrically normalized; at most 5 mean-field steps. The original takes thresholded
    masks, with unary energies of 0 and 11.5, which the pairwise terms (8 at most) rarely change; this takes
    probabilities. Raises BackendError if the package pydensecrf is not installed.
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
    """Return the unary energies of a probability map p (H, W): (2, H·W) float32, background then foreground.

    As in the original implementation: with e(p) = -ln(p + 1e-8) / (1.05 · sigmoid(p)), the energies are -ln(e(p)) for
    the background and -ln(e(1 - p)) for the foreground, where e is clipped to [1e-5, 1]. The range is 0 to 11.5; both
    are 0 where p is near 0.5.
    """
    p = probability.ravel().astype(np.float64)
    foreground, background = (-np.log(q + 1e-8) / (TAU / (1 + np.exp(-q))) for q in (1 - p, p))
    return np.ascontiguousarray(-np.log(np.clip((background, foreground), 1e-5, 1)), np.float32)
