"""Synthetic motion: a still image with a mask -> a sample whose object and background move differently."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .flow import FlowFunction, dis_flow
from .sample import Sample

_GRID_PX = 256  # smaller than for video, as the images are smaller; DIS takes 8 ms instead of 19
_PARTLY = 0.4  # share of the samples in which a part of the object keeps still


def moving_sample(
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    rng: np.random.Generator,
    background: NDArray[np.uint8] | None = None,
    flow: FlowFunction = dis_flow,
) -> Sample:
    """Return the first of two synthetic frames, with the flow to the second and the mask.

    image: (H, W, 3) uint8 RGB. mask: (H, W) uint8, 0 or 255. background: an image (h, w, 3) of any size, in front of
    which the object is placed; default: the image itself, with the object inpainted. flow: computes the flow between
    the two frames, so that it has the errors that flow has in deployment.

    In `_PARTLY` of the samples only parts of the object move, as in a person who stands and waves: the mask has all of
    it, so a network learns to find the parts that flow does not show.
    """
    height, width = mask.shape
    alpha = np.asarray(cv2.GaussianBlur(mask, (3, 3), 0), np.uint8)
    if background is None:
        first, background = image, _inpaint_object(image, mask)
    else:
        background = np.asarray(cv2.resize(background, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        first = _compose(image, background, alpha)
    static_camera = rng.random() < 0.3
    camera = _motion(rng, width, height, 0.0 if static_camera else 0.02)
    object_motion = _motion(rng, width, height, 0.04) @ camera
    if rng.random() < _PARTLY:
        positions = _partial_motion(object_motion, camera, mask.shape, rng)
        moved = _sample(image, positions, cv2.BORDER_REFLECT_101)
        moved_alpha = _sample(alpha, positions, cv2.BORDER_CONSTANT)
    else:
        moved = _warp(image, object_motion, cv2.BORDER_REFLECT_101)
        moved_alpha = _warp(alpha, object_motion, cv2.BORDER_CONSTANT)
    second = _compose(moved, _warp(background, camera, cv2.BORDER_REFLECT_101), moved_alpha)
    # Sensor noise: without it, the flow of a static camera would be exactly zero, unlike real video.
    noise = rng.integers(0, 7, second.shape, np.uint8)
    noisy = np.asarray(cv2.subtract(cv2.add(second, noise), np.full_like(noise, 3)), np.uint8)
    return Sample(image=first, flow=flow(first, noisy, _GRID_PX), mask=mask)


def _motion(rng: np.random.Generator, width: int, height: int, strength: float) -> NDArray[np.float64]:
    """Return a random affine motion (3, 3) about a point of the image.

    strength: standard deviation of the shift (fraction of the image size), angle (radians) and log zoom.
    """
    shift = rng.normal(0, strength, 2) * (width, height)
    angle = rng.normal(0, strength)
    zoom = np.exp(rng.normal(0, strength))
    center = rng.uniform(0.2, 0.8, 2) * (width, height)
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    motion = np.eye(3)
    motion[:2, :2] = linear
    motion[:2, 2] = center - linear @ center + shift
    return motion


def _partial_motion(
    motion: NDArray[np.float64], camera: NDArray[np.float64], shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """The position (x, y) in the first image of each pixel of the second one: (H, W, 2), for cv2.remap.

    Some regions move by `motion`, the others by `camera`, with smooth transitions: an arm moves, the body stands.
    """
    height, width = shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    pixels = np.stack((x, y, np.ones_like(x)), -1)
    moving, still = (pixels @ np.linalg.inv(each)[:2].T.astype(np.float32) for each in (motion, camera))
    cells = int(rng.integers(3, 7))
    noise = rng.normal(0, 3, (cells, cells)).astype(np.float32)
    regions = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) - np.float32(rng.uniform(-2, 2))
    share = (1 / (1 + np.exp(-regions)))[..., None]
    return np.asarray(share * moving + (1 - share) * still, np.float32)


def _warp(image: NDArray[np.uint8], motion: NDArray[np.float64], border: int) -> NDArray[np.uint8]:
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.warpAffine(image, motion[:2], size, borderMode=border), np.uint8)


def _sample(image: NDArray[np.uint8], positions: NDArray[np.float32], border: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.remap(image, positions, None, cv2.INTER_LINEAR, borderMode=border), np.uint8)  # type: ignore[call-overload]


def _compose(front: NDArray[np.uint8], background: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    weight = alpha.astype(np.float32) / 255
    return np.asarray(cv2.blendLinear(front, background, weight, 1 - weight), np.uint8)


def _inpaint_object(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the image with the object inpainted by blurring its surroundings, with increasing radii."""
    height, width = mask.shape
    outside = (cv2.dilate(mask, np.ones((7, 7), np.uint8)) == 0).astype(np.float32)
    small = (max(width // 8, 1), max(height // 8, 1))
    weight = cv2.resize(outside, small, interpolation=cv2.INTER_AREA)
    color = cv2.resize(image * outside[..., None], small, interpolation=cv2.INTER_AREA)
    blurred, total = np.zeros_like(color), np.zeros_like(weight)
    for sigma, weighting in ((1.5, 1.0), (5.0, 1e-2), (20.0, 1e-4)):
        blurred += weighting * cv2.GaussianBlur(color, (0, 0), sigma)
        total += weighting * cv2.GaussianBlur(weight, (0, 0), sigma)
    filling = cv2.resize(blurred / np.maximum(total, 1e-8)[..., None], (width, height))
    return np.where(outside[..., None] > 0, image, np.clip(filling, 0, 255)).astype(np.uint8)
