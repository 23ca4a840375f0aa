"""Batches as a function of seed and iteration, so that a resumed training gets the batches of an uninterrupted one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ..recipe import Recipe
from .augment import augment
from .clips import Clips
from .flow import FlowFunction, dis_flow
from .motion import moving_sample
from .pictures import Pictures
from .procedural import procedural_sample
from .sample import Sample


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch of B samples of S×S px.

    image, flow_image: (B, S, S, 3) uint8 RGB. mask: (B, S, S) uint8, 0 or 255.
    """

    image: Tensor
    flow_image: Tensor
    mask: Tensor

    def pin_memory(self) -> Self:
        """Return a copy in page-locked memory, from which copies to a GPU are asynchronous."""
        image, flow_image, mask = (x.pin_memory() for x in (self.image, self.flow_image, self.mask))
        return type(self)(image=image, flow_image=flow_image, mask=mask)


@dataclass(frozen=True, kw_only=True)
class Source:
    """The data to sample from. Procedural clips are always available, and the only kind without clips and pictures.

    clips: frames of DAVIS. pictures: still images with masks. flow: computes the flow of pasted and procedural samples.
    """

    clips: Clips | None = None
    pictures: Pictures | None = None
    flow: FlowFunction = dis_flow

    def batch(self, recipe: Recipe, iteration: int, iterations: int, places: range | None = None) -> Batch:
        """Return the batch of `iteration` in a training of `iterations`; with `places`, only the samples at these
        indices.
        """
        size = int(np.random.default_rng((recipe.seed, iteration)).choice(recipe.sizes))
        inputs = []
        for place in range(recipe.batch) if places is None else places:
            number = iteration * recipe.batch + place
            rng = np.random.default_rng((recipe.seed, number, 1))
            sample = self._sample(recipe, number, iteration / iterations, rng)
            inputs.append(augment(sample, size, recipe, rng))
        image, flow_image, mask = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*inputs, strict=True))
        return Batch(image=image, flow_image=flow_image, mask=mask)

    def _sample(self, recipe: Recipe, number: int, progress: float, rng: np.random.Generator) -> Sample:
        start, end = recipe.start, recipe.end
        shares = [
            (1 - progress) * start.davis + progress * end.davis if self.clips else 0.0,
            (1 - progress) * start.pictures + progress * end.pictures if self.pictures else 0.0,
            (1 - progress) * start.procedural + progress * end.procedural,
            (1 - progress) * start.pasted + progress * end.pasted if self.clips else 0.0,
        ]
        total = sum(shares)
        kind = int(rng.choice(4, p=np.array(shares) / total)) if total > 0 else 2
        if kind == 0 and self.clips:
            # Every pass over the frames has a new random order.
            frames = len(self.clips.frames)
            order = np.random.default_rng((recipe.seed, number // frames, 2)).permutation(frames)
            return self.clips.sample(int(order[number % frames]), lambda gaps: int(rng.choice(gaps)))
        if kind == 1 and self.pictures:
            return self.pictures.sample(rng)
        if kind == 3 and self.clips:
            image, mask = self.clips.still(rng)
            background, _ = self.pictures.still(rng) if self.pictures else self.clips.still(rng)
            return moving_sample(image, mask, rng, background, self.flow)
        return procedural_sample(rng, self.flow)
