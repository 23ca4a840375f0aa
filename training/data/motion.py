"""A still picture and a mask -> two frames between which the object and its background move differently."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .flow import dis_flow
from .sample import Sample

_GRID_PX = 256  # the pictures are smaller than video frames, and DIS takes 8 ms there instead of 19


def moving_sample(
    picture: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    rng: np.random.Generator,
    scenery: NDArray[np.uint8] | None = None,
) -> Sample:
    """picture (H, W, 3), mask (H, W), scenery of any size -> the first of two frames, with the flow to the second.

    The object is put before `scenery` where that is given. The flow is what DIS finds between the two frames, with
    the errors that deployment has, rather than the exact one.
    """
    height, width = mask.shape
    alpha = np.asarray(cv2.GaussianBlur(mask, (3, 3), 0), np.uint8)
    if scenery is None:
        first, behind = picture, _without_object(picture, mask)
    else:
        behind = np.asarray(cv2.resize(scenery, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        first = _compose(picture, behind, alpha)
    still_camera = rng.random() < 0.3
    camera = _motion(rng, width, height, 0.0 if still_camera else 0.02)
    own = _motion(rng, width, height, 0.04)
    with_object = own @ camera
    second = _compose(
        _warp(picture, with_object, cv2.BORDER_REFLECT_101),
        _warp(behind, camera, cv2.BORDER_REFLECT_101),
        _warp(alpha, with_object, cv2.BORDER_CONSTANT),
    )
    # A sensor's noise: without it the flow of a still camera would be exactly zero, which it never is.
    noise = rng.integers(0, 7, second.shape, np.uint8)
    noisy = np.asarray(cv2.subtract(cv2.add(second, noise), np.full_like(noise, 3)), np.uint8)
    return Sample(image=first, flow=dis_flow(first, noisy, _GRID_PX), mask=mask)


def _motion(rng: np.random.Generator, width: int, height: int, strength: float) -> NDArray[np.float64]:
    """A (3, 3) affine motion about a point of the picture; strength 0.04: a shift of about 4 % of the picture."""
    shift = rng.normal(0, strength, 2) * (width, height)
    angle = rng.normal(0, strength)
    zoom = np.exp(rng.normal(0, strength))
    center = rng.uniform(0.2, 0.8, 2) * (width, height)
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    motion = np.eye(3)
    motion[:2, :2] = linear
    motion[:2, 2] = center - linear @ center + shift
    return motion


def _warp(picture: NDArray[np.uint8], motion: NDArray[np.float64], border: int) -> NDArray[np.uint8]:
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpAffine(picture, motion[:2], size, borderMode=border), np.uint8)


def _compose(front: NDArray[np.uint8], behind: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    weight = alpha.astype(np.float32) / 255
    return np.asarray(cv2.blendLinear(front, behind, weight, 1 - weight), np.uint8)


def _without_object(picture: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with the object's place filled by a blur of what is around it, wider the less is near."""
    height, width = mask.shape
    outside = (cv2.dilate(mask, np.ones((7, 7), np.uint8)) == 0).astype(np.float32)
    small = (max(width // 8, 1), max(height // 8, 1))
    weight = cv2.resize(outside, small, interpolation=cv2.INTER_AREA)
    color = cv2.resize(picture * outside[..., None], small, interpolation=cv2.INTER_AREA)
    blurred, total = np.zeros_like(color), np.zeros_like(weight)
    for sigma, trust in ((1.5, 1.0), (5.0, 1e-2), (20.0, 1e-4)):
        blurred += trust * cv2.GaussianBlur(color, (0, 0), sigma)
        total += trust * cv2.GaussianBlur(weight, (0, 0), sigma)
    filling = cv2.resize(blurred / np.maximum(total, 1e-8)[..., None], (width, height))
    return np.where(outside[..., None] > 0, picture, np.clip(filling, 0, 255)).astype(np.uint8)
