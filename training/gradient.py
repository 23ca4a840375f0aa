"""The gradient of a batch; on a CPU, each core works on its own part of it."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..models.amcnet import AMCNet
from ..models.torch_threads import torch_threads
from ..runtime.closes import Closes
from .batches import Batch
from .loss import segmentation_loss
from .recipe import Recipe
from .validation import normalise


class Gradient(Closes):
    """Fills the gradients of `network` from batches; a context manager, in which PyTorch's threads are shared out.

    The light network's operators are too small to be split over two cores: they wait for each other a thousand times a
    step. A batch of 8 at 192 px takes 0.66 s so, and up to 22 s beside another busy process; as two halves in threads
    of one core each 0.55 to 0.63 s, and no such stalls. As in distributed training, norms see their part of the batch
    only, and the first part's statistics are kept.
    """

    def __init__(self, network: AMCNet, recipe: Recipe, cores: int) -> None:
        self.device = next(network.parameters()).device
        parts = 1 if self.device.type == "cuda" else max(1, min(cores, recipe.batch // 2))
        self.recipe = recipe
        self.networks = [network, *(copy.deepcopy(network) for _ in range(1, parts))]
        for twin in self.networks[1:]:
            for parameter, own in zip(twin.parameters(), network.parameters(), strict=True):
                parameter.data = own.data  # one memory: a step of the optimiser moves them all
        self._opened = ExitStack()
        self._opened.enter_context(torch_threads(max(1, cores // parts)))
        self._pool = self._opened.enter_context(ThreadPoolExecutor(parts))

    def close(self) -> None:
        """End the threads and restore PyTorch's number of them."""
        self._opened.close()

    def fill(self, batch: Batch) -> Tensor:
        """Set the gradients of the network from `batch`; the loss, a scalar."""
        ends = np.linspace(0, len(batch.mask), len(self.networks) + 1).round().astype(int)
        parts = [slice(begin, end) for begin, end in pairwise(ends)]
        losses = list(self._pool.map(self._backward, self.networks, [batch] * len(parts), parts))
        for twin in self.networks[1:]:
            for own, other in zip(self.networks[0].parameters(), twin.parameters(), strict=True):
                if own.grad is not None and other.grad is not None:
                    own.grad += other.grad
        return torch.stack(losses).sum()

    def _backward(self, network: AMCNet, batch: Batch, part: slice) -> Tensor:
        mask = batch.mask[part].to(self.device, non_blocking=True).unsqueeze(1).float().div(255)
        image, flow_image = (normalise(x[part], self.device) for x in (batch.image, batch.flow_image))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            output = network(image, flow_image)
        loss = segmentation_loss(output, mask, self.recipe.overlap_loss) * (len(mask) / len(batch.mask))
        network.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()
