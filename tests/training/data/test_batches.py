"""What a batch holds."""

from __future__ import annotations

import dataclasses

import numpy as np

from amcnet.training.data.batches import Source
from amcnet.training.data.sample import Sample
from amcnet.training.recipe import LIGHT, SampleMix

SMALL = dataclasses.replace(LIGHT, batch=2, sizes=(32, 64))


class Counted:
    """Stands for clips and for pictures; remembers what was asked of it."""

    def __init__(self, frames: int = 0) -> None:
        self.frames = list(range(frames))
        self.asked: list[int] = []

    def sample(self, number: object, choose: object = None) -> Sample:
        self.asked.append(number if isinstance(number, int) else -1)
        blank = np.zeros((40, 60), np.uint8)
        return Sample(image=np.dstack([blank] * 3), flow=np.zeros((8, 8, 2), np.float32), mask=blank)


def test_a_batch_follows_from_its_number() -> None:
    first, again, other = (Source().batch(SMALL, iteration, 100) for iteration in (5, 5, 6))
    for name in ("image", "flow_image", "mask"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)
    assert not np.array_equal(first.image[0], first.image[1])
    sizes = {Source().batch(SMALL, iteration, 100).mask.shape for iteration in range(8)}
    assert sizes == {(2, 32, 32), (2, 64, 64)}


def test_each_frame_comes_once_a_pass_in_a_new_order() -> None:
    clips = Counted(frames=6)
    recipe = dataclasses.replace(SMALL, sizes=(32,), start=SampleMix(davis=1, pictures=0, procedural=0))
    recipe = dataclasses.replace(recipe, end=recipe.start)
    for iteration in range(6):
        Source(clips=clips).batch(recipe, iteration, 6)  # type: ignore[arg-type]
    assert sorted(clips.asked[:6]) == sorted(clips.asked[6:]) == list(range(6))
    assert clips.asked[:6] != clips.asked[6:]


def test_shares_shift_from_start_to_end() -> None:
    recipe = dataclasses.replace(
        SMALL,
        batch=8,
        sizes=(32,),
        start=SampleMix(davis=0, pictures=1, procedural=0),
        end=SampleMix(davis=1, pictures=0, procedural=0),
    )
    halves = []
    for iterations in (range(0, 10), range(90, 100)):
        clips, pictures = Counted(frames=5), Counted()
        for iteration in iterations:
            Source(clips=clips, pictures=pictures).batch(recipe, iteration, 100)  # type: ignore[arg-type]
        halves.append(len(clips.asked) / (len(clips.asked) + len(pictures.asked)))
    assert halves[0] < 0.2
    assert halves[1] > 0.8
