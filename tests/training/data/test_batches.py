"""Contents of batches: determinism, order of frames, mix of samples."""

from __future__ import annotations

import dataclasses

import numpy as np

from amcnet.training.data.batches import Source
from amcnet.training.data.sample import Sample
from amcnet.training.recipe import LIGHT, SampleMix

SMALL = dataclasses.replace(LIGHT, batch=2, sizes=(32, 64))


class Recorder:
    """Stand-in of Clips and Pictures that records the requested samples."""

    def __init__(self, frames: int = 0) -> None:
        self.frames = list(range(frames))
        self.requested: list[int] = []

    def sample(self, number: object, choose: object = None) -> Sample:
        self.requested.append(number if isinstance(number, int) else -1)
        blank = np.zeros((40, 60), np.uint8)
        return Sample(image=np.dstack([blank] * 3), flow=np.zeros((8, 8, 2), np.float32), mask=blank)


def test_a_batch_is_a_function_of_its_iteration() -> None:
    first, again, other = (Source().batch(SMALL, iteration, 100) for iteration in (5, 5, 6))
    for name in ("image", "flow_image", "mask"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)
    assert not np.array_equal(first.image[0], first.image[1])
    sizes = {Source().batch(SMALL, iteration, 100).mask.shape for iteration in range(8)}
    assert sizes == {(2, 32, 32), (2, 64, 64)}


def test_every_pass_has_each_frame_once_in_a_new_order() -> None:
    clips = Recorder(frames=6)
    recipe = dataclasses.replace(SMALL, sizes=(32,), start=SampleMix(davis=1, pictures=0, procedural=0))
    recipe = dataclasses.replace(recipe, end=recipe.start)
    for iteration in range(6):
        Source(clips=clips).batch(recipe, iteration, 6)  # type: ignore[arg-type]
    assert sorted(clips.requested[:6]) == sorted(clips.requested[6:]) == list(range(6))
    assert clips.requested[:6] != clips.requested[6:]


def test_the_mix_of_samples_changes_from_start_to_end() -> None:
    recipe = dataclasses.replace(
        SMALL,
        batch=8,
        sizes=(32,),
        start=SampleMix(davis=0, pictures=1, procedural=0),
        end=SampleMix(davis=1, pictures=0, procedural=0),
    )
    halves = []
    for iterations in (range(0, 10), range(90, 100)):
        clips, pictures = Recorder(frames=5), Recorder()
        for iteration in iterations:
            Source(clips=clips, pictures=pictures).batch(recipe, iteration, 100)  # type: ignore[arg-type]
        halves.append(len(clips.requested) / (len(clips.requested) + len(pictures.requested)))
    assert halves[0] < 0.2
    assert halves[1] > 0.8
