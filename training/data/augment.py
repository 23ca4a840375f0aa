"""Augmentation: affine motion, color jitter, flow perturbation and random stream dropout.

The affine motion transforms positions and flow vectors. Resizing the frame to the square network input transforms
positions only, as in deployment, where flow vectors are in pixels of the video.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ...runtime.flow.flow_color import color_flow
from ..recipe import Recipe
from .sample import Sample

Inputs = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]


def augment(sample: Sample, size: int, recipe: Recipe, rng: np.random.Generator) -> Inputs:
    """Return image and flow image (size, size, 3) uint8 RGB, and mask (size, size) uint8, 0 or 255.

    size: side length in px. The result depends only on the arguments and the state of `rng`.
    """
    motion = random_motion(sample.mask.shape, recipe, rng)
    image, flow, mask = move(sample, motion, size)
    if rng.random() < recipe.perturb_flow:
        flow = flow + _camera_flow(size, rng) * np.float32(np.abs(flow).max() * rng.uniform(0, 0.7))
    if rng.random() < recipe.move_background:
        flow = _add_background_motion(flow, mask, rng)
    flow_image = color_flow(flow)
    if rng.random() < recipe.perturb_flow:
        # Colors are normalized by the longest vector: one outlier lowers the saturation of all others.
        length = rng.uniform(0.3, 1)
        flow_image = np.asarray(cv2.addWeighted(flow_image, length, flow_image, 0, 255 * (1 - length)), np.uint8)
    if recipe.color_jitter > 0:
        image = _jitter_color(image, recipe.color_jitter, rng)
    dropout = rng.random()
    if dropout < recipe.drop_flow:
        zero = np.zeros((size, size, 2), np.float32)
        flow_image = color_flow(zero if rng.random() < 0.5 else _camera_flow(size, rng))
    elif dropout < recipe.drop_flow + recipe.drop_image:
        image = _uninformative(image, rng)
    elif dropout < recipe.drop_flow + recipe.drop_image + recipe.image_as_flow:
        flow_image = image
    return image, flow_image, mask


def random_motion(shape: tuple[int, ...], recipe: Recipe, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a random affine motion (2, 3) in px of an image of `shape` (H, W).

    It combines a flip, rotation, shear and zoom, and a shift as far as the zoomed image covers the frame.
    """
    height, width = shape
    angle = np.deg2rad(rng.uniform(-recipe.rotation_deg, recipe.rotation_deg))
    zoom = np.exp(rng.uniform(*np.log(recipe.zoom)))
    shear = rng.uniform(-recipe.shear, recipe.shear)
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = linear @ np.array([[1, shear], [0, 1]])
    if rng.random() < 0.5:
        linear = linear @ np.diag((-1.0, 1.0))
    middle = np.array(((width - 1) / 2, (height - 1) / 2))
    slack = max(zoom - 1, 0) / 2 * np.array((width, height))
    shift = middle - linear @ middle + rng.uniform(-slack, slack)
    return np.column_stack((linear, shift))


def move(
    sample: Sample, motion: NDArray[np.float64], size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]:
    """Return image (size, size, 3), flow (size, size, 2) and mask (size, size) after `motion`.

    motion: (2, 3), in px of the sample's image. Flow vectors stay in px of the (moved) image, before the resizing.
    """
    height, width = sample.mask.shape
    to_square = _between_grids((width, height), (size, size))
    motion3 = np.vstack((motion, (0, 0, 1)))
    to_frame = _between_grids((sample.flow.shape[1], sample.flow.shape[0]), (width, height))
    place = (to_square @ motion3)[:2]
    shrinks = min(width, height) * np.sqrt(abs(np.linalg.det(motion[:, :2]))) > 1.5 * size
    image = cv2.GaussianBlur(sample.image, (3, 3), 0) if shrinks else sample.image  # warpAffine does not anti-alias
    moved = cv2.warpAffine(image, place, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(sample.mask, place, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    flow_place = (to_square @ motion3 @ to_frame)[:2]
    flow = cv2.warpAffine(sample.flow, flow_place, (size, size), borderMode=cv2.BORDER_REPLICATE)
    turned = np.asarray(flow @ motion[:, :2].T, np.float32)
    return np.asarray(moved, np.uint8), turned, np.where(mask > 127, 255, 0).astype(np.uint8)


def _between_grids(source: tuple[int, int], target: tuple[int, int]) -> NDArray[np.float64]:
    """Return (3, 3): pixel coordinates of a (width, height) grid -> those of another grid of the same extent."""
    scale = np.array(target) / np.array(source)
    return np.array([[scale[0], 0, scale[0] / 2 - 0.5], [0, scale[1], scale[1] / 2 - 0.5], [0, 0, 1]])


def _camera_flow(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the flow of a random camera motion (shift, rotation, zoom, shear), (size, size, 2), of length about 1."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size - np.float32(0.5)
    shift = rng.normal(0, 0.7, 2)
    linear = rng.normal(0, 0.5, (2, 2)) * (rng.random() < 0.5)
    field = np.stack((x, y), -1) @ linear + shift
    return np.asarray(field, np.float32)


def _add_background_motion(
    flow: NDArray[np.float32], mask: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Add smooth random motion to patches of the background, of at most the strength of the flow."""
    size = len(mask)
    cells = int(rng.integers(3, 16))
    field = cv2.resize(rng.normal(0, 0.5, (cells, cells, 2)).astype(np.float32), (size, size))
    patches = cv2.resize(rng.normal(0, 1, (4, 4)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    moving = (mask == 0) & (patches > rng.uniform(-0.5, 0.5))
    strength = max(float(np.abs(flow).max()), 1.0) * rng.uniform(0.3, 1)
    return np.asarray(flow + field * np.float32(strength) * moving[..., None], np.float32)


def _jitter_color(image: NDArray[np.uint8], strength: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change gain and gamma, offset and saturation; sometimes hue, grayscale, blur or noise."""
    gain = np.exp(rng.normal(0, 0.15 * strength) + rng.normal(0, 0.06 * strength, 3))
    gamma = np.exp(rng.normal(0, 0.2 * strength))
    offset = rng.normal(0, 12 * strength)
    levels = np.arange(256)[:, None] / 255
    table = np.clip(255 * gain * levels**gamma + offset, 0, 255).astype(np.uint8)  # (256, 3)
    image = np.asarray(cv2.LUT(image, table.reshape(256, 1, 3)), np.uint8)
    saturation = 0.0 if rng.random() < 0.1 * strength else np.exp(rng.normal(0, 0.3 * strength))
    # Interpolation between the color and its luma, as a 3×3 matrix.
    matrix = saturation * np.eye(3) + (1 - saturation) * np.array((0.299, 0.587, 0.114))[None]
    image = np.asarray(cv2.transform(image, matrix), np.uint8)
    if rng.random() < 0.3 * strength:
        hue = rng.integers(-12, 13)
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + hue) % 180
        image = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)
    if rng.random() < 0.15 * strength:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2)), np.uint8)
    if rng.random() < 0.15 * strength:
        noise = rng.integers(0, int(rng.integers(5, 40)), image.shape, np.uint8)
        image = np.asarray(cv2.subtract(cv2.add(image, noise), noise[::-1]), np.uint8)
    return image


def _uninformative(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a constant gray image, noise, or a strong blur of the image."""
    kind = rng.integers(3)
    if kind == 0:
        return np.full_like(image, image.mean())
    if kind == 1:
        return rng.integers(0, 256, image.shape, np.uint8)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), image.shape[0] / 12), np.uint8)
