"""Augmentation transforms frame, flow and mask consistently."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from amcnet.runtime.flow.flow_color import color_flow
from amcnet.training.data.augment import augment, move, random_motion
from amcnet.training.data.sample import Sample
from amcnet.training.recipe import LIGHT, PAPER

HEIGHT, WIDTH = 120, 200
PLAIN = dataclasses.replace(
    LIGHT,
    rotation_deg=0,
    zoom=(1, 1),
    shear=0,
    color_jitter=0,
    drop_flow=0,
    drop_image=0,
    perturb_flow=0,
    move_background=0,
    image_as_flow=0,
)


def sample_of(flow: NDArray[np.float32]) -> Sample:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.ellipse(mask, (110, 50), (45, 25), 20, 0, 360, 255, -1)
    return Sample(image=np.repeat(mask[..., None], 3, 2), flow=flow, mask=mask)


def constant(u: float, v: float) -> NDArray[np.float32]:
    return np.full((48, 48, 2), (u, v), np.float32)


@pytest.mark.parametrize("seed", range(6))
def test_mask_and_image_have_the_same_motion(seed: int) -> None:
    sample = sample_of(constant(1, 0))
    motion = random_motion(sample.mask.shape, LIGHT, np.random.default_rng(seed))
    image, _, mask = move(sample, motion, 96)
    assert 0.02 < (mask > 0).mean() < 0.9
    # The image may be smoothed before downscaling: the edge is blurred, its position is unchanged.
    assert ((image[..., 0] > 127) != (mask > 0)).mean() < 0.01


@pytest.mark.parametrize("seed", range(6))
def test_flow_vectors_are_transformed_with_the_image(seed: int) -> None:
    """The motion field p -> L p + t, moved by M, is q -> M (L M⁻¹ q + t)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    linear, shift = rng.normal(0, 0.05, (2, 2)), rng.normal(0, 3, 2)
    field = np.stack((x, y), -1) @ linear.T + shift
    motion = random_motion((HEIGHT, WIDTH), LIGHT, rng)
    size = 64
    _, flow, _ = move(sample_of(field.astype(np.float32)), motion, size)

    row, column = np.mgrid[0:size, 0:size]
    q = np.stack(((column + 0.5) * WIDTH / size - 0.5, (row + 0.5) * HEIGHT / size - 0.5), -1)
    p = (q - motion[:, 2]) @ np.linalg.inv(motion[:, :2]).T
    expected = (p @ linear.T + shift) @ motion[:, :2].T
    inside = (p > 0).all(-1) & (p[..., 0] < WIDTH - 1) & (p[..., 1] < HEIGHT - 1)
    assert inside.mean() > 0.4
    assert np.abs(flow - expected)[inside].max() < 0.05


def test_resizing_to_a_square_keeps_the_flow_vectors() -> None:
    image, flow_image, _ = augment(sample_of(constant(3, 4)), 64, PLAIN, np.random.default_rng(1))
    flipped = flow_image[0, 0].tolist() != color_flow(constant(3, 4))[0, 0].tolist()
    assert flow_image[0, 0].tolist() == color_flow(constant(-3 if flipped else 3, 4))[0, 0].tolist()
    assert (flow_image == flow_image[0, 0]).all()
    assert image.shape == (64, 64, 3)


def test_half_of_the_samples_are_flipped() -> None:
    seeds = range(60)
    colors = {augment(sample_of(constant(3, 4)), 32, PLAIN, np.random.default_rng(s))[1].tobytes() for s in seeds}
    assert len(colors) == 2


def test_a_dropped_flow_has_no_information_on_the_object() -> None:
    flow = constant(0, 0)
    flow[15:30, 20:30] = (5, 0)
    dropped = dataclasses.replace(PLAIN, drop_flow=1.0)
    images, flow_images = [], []
    for seed in range(8):
        image, flow_image, _ = augment(sample_of(flow), 64, dropped, np.random.default_rng(seed))
        images.append(image)
        flow_images.append(flow_image)
        steps = np.abs(np.diff(flow_image.astype(int), axis=0)).max(-1)
        assert steps.max() < 80  # camera motion is smooth; the edge of the object would be a step of 255, white to red
    assert any((flow_image == 255).all() for flow_image in flow_images)
    assert not all((flow_image == 255).all() for flow_image in flow_images)
    assert all(image.std() > 50 for image in images)


def test_a_dropped_image_has_no_information_on_the_object() -> None:
    dropped = dataclasses.replace(PLAIN, drop_image=1.0)
    flow = constant(0, 0)
    flow[15:30, 20:30] = (5, 0)
    for seed in range(8):
        image, flow_image, mask = augment(sample_of(flow), 64, dropped, np.random.default_rng(seed))
        gray = image.mean(-1)
        edge = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        jump = cv2.GaussianBlur(gray, (0, 0), 1.5)[edge].std()
        assert jump < 60  # the edge of the original image has 100
        assert flow_image.std() > 10


def test_color_jitter_changes_colors_only() -> None:
    sample = sample_of(constant(1, 0))
    recolored = dataclasses.replace(PLAIN, color_jitter=1.0)
    means = [augment(sample, 64, recolored, np.random.default_rng(seed))[0].mean() for seed in range(8)]
    assert np.std(means) > 3
    plain, strong = (augment(sample, 64, recipe, np.random.default_rng(4))[2] for recipe in (PLAIN, recolored))
    assert np.array_equal(plain, strong)


def test_the_same_seed_gives_the_same_sample() -> None:
    first, again = (augment(sample_of(constant(1, 2)), 64, LIGHT, np.random.default_rng(9)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_the_papers_recipe_has_no_color_jitter_and_no_stream_dropout() -> None:
    sample = sample_of(constant(1, 2))
    for seed in range(4):
        image, _, mask = augment(sample, 96, PAPER, np.random.default_rng(seed))
        assert ((image[..., 0] > 127) != (mask > 0)).mean() < 0.01
        assert set(np.unique(mask)) <= {0, 255}


def test_background_motion_covers_a_part_of_the_background_and_not_the_object() -> None:
    flow = constant(0, 0)
    sample = sample_of(flow)
    plain, moving = (dataclasses.replace(PLAIN, move_background=share) for share in (0.0, 1.0))
    for seed in range(8):
        mask, still = augment(sample, 96, plain, np.random.default_rng(seed))[2], np.full((96, 96, 3), 255)
        flow_image = augment(sample, 96, moving, np.random.default_rng(seed))[1]
        assert np.array_equal(flow_image[mask > 0], still[mask > 0])
        assert 0.01 < (flow_image[mask == 0] < 250).any(-1).mean() < 1


def test_image_as_flow_replaces_the_flow_image_unless_flow_is_dropped() -> None:
    swapped = dataclasses.replace(PLAIN, image_as_flow=1.0)
    image, flow_image, _ = augment(sample_of(constant(3, 4)), 64, swapped, np.random.default_rng(0))
    assert np.array_equal(image, flow_image)
    dropped = dataclasses.replace(PLAIN, drop_flow=1.0, image_as_flow=1.0)
    image, flow_image, _ = augment(sample_of(constant(3, 4)), 64, dropped, np.random.default_rng(0))
    assert not np.array_equal(image, flow_image)
