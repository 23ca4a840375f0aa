"""Prefetching of batches: by one thread for training on a CPU, by worker processes for training on a GPU."""

from __future__ import annotations

import multiprocessing
from collections.abc import Generator

import torch
from torch.utils.data import DataLoader, Dataset

from ...runtime.machine_info import available_cores
from ...runtime.prefetch import prefetch
from ..recipe import Recipe
from .batches import Batch, Source

_AHEAD = 6  # batches
_SPARE_CORES = 2  # for the threads that feed the GPU


def load_batches(
    source: Source, recipe: Recipe, iterations: range, places: range, device: torch.device
) -> Generator[Batch, None, None]:
    """Yield the batches of `iterations`, in order, restricted to the samples at the indices `places`.

    `iterations.stop` is the length of the training. Close the generator when done. A sample takes about 20 ms of one
    core: an eighth of its training step on a CPU, 50 times that on a GPU.
    """
    batches = _Batches(source, recipe, iterations.stop, places)
    # Forked processes share the decoded images; spawned ones would each have a copy.
    if device.type == "cpu" or "fork" not in multiprocessing.get_all_start_methods():
        return prefetch(map(batches.__getitem__, iterations), _AHEAD)
    loader = DataLoader(
        batches,
        batch_size=None,  # the dataset returns whole batches
        sampler=iterations,
        num_workers=max(1, available_cores() - _SPARE_CORES),
        pin_memory=True,
        generator=torch.Generator(),  # otherwise it draws from the process-wide generator
        multiprocessing_context="fork",
    )
    return prefetch(iter(loader), _AHEAD)


class _Batches(Dataset[Batch]):
    """Dataset whose item i is the batch of iteration i."""

    def __init__(self, source: Source, recipe: Recipe, total: int, places: range) -> None:
        self._source, self._recipe, self._total, self._places = source, recipe, total, places

    def __getitem__(self, iteration: int) -> Batch:
        return self._source.batch(self._recipe, iteration, self._total, self._places)
