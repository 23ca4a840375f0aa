"""Procedurally generated samples: a textured shape in front of a textured background."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .flow import FlowFunction, dis_flow
from .motion import moving_sample
from .sample import Sample

_WIDTH, _HEIGHT = 384, 288


def procedural_sample(rng: np.random.Generator, flow: FlowFunction = dis_flow) -> Sample:
    """Return a sample of 384×288 px: a moving blob, and up to three others that move with the background.

    flow: computes its optical flow.
    """
    background = _texture(rng)
    for _ in range(rng.integers(0, 4)):
        other = _shape(rng, 0.15) > 0
        background[other] = _texture(rng)[other]
    mask = _shape(rng, rng.uniform(0.1, 0.35))
    return moving_sample(_texture(rng), mask, rng, background, flow)


def _texture(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8: noise of several scales around one color."""
    image = np.full((_HEIGHT, _WIDTH, 3), rng.uniform(30, 225, 3), np.float32)
    for cells in (4, 12, 40, 120):
        noise = rng.normal(0, rng.uniform(5, 40), (cells * 3 // 4, cells, 3)).astype(np.float32)
        image += cv2.resize(noise, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255).astype(np.uint8)


def _shape(rng: np.random.Generator, radius: float) -> NDArray[np.uint8]:
    """Return a mask (H, W) uint8, 0 or 255: a random closed curve; `radius` is a fraction of the height."""
    angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    distance = np.ones_like(angles)
    for waves in range(1, 7):
        distance += rng.normal(0, 0.25 / waves) * np.cos(waves * angles + rng.uniform(0, 2 * np.pi))
    distance *= radius * _HEIGHT
    stretch = np.exp(rng.normal(0, 0.3))
    center = rng.uniform(0.25, 0.75, 2) * (_WIDTH, _HEIGHT)
    curve = center + distance[:, None] * np.stack((np.cos(angles) * stretch, np.sin(angles) / stretch), 1)
    mask = np.zeros((_HEIGHT, _WIDTH), np.uint8)
    cv2.fillPoly(mask, [np.round(curve).astype(np.int32)], 255)
    return mask
