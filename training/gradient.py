"""Gradient of a batch: data parallel over one process per core on a CPU, in this process on a GPU."""

from __future__ import annotations

import multiprocessing
import signal
from contextlib import ExitStack, closing, suppress
from itertools import pairwise
from multiprocessing.connection import Connection

import numpy as np
import torch
from torch import Tensor, nn

from ..models.amcnet import AMCNet
from ..models.torch_threads import torch_threads
from ..runtime.closeable import Closeable
from ..runtime.errors import AmcNetError
from ..runtime.opencv_state import single_threaded_opencv
from .data.batches import Batch, Source
from .data.loader import load_batches
from .loss import segmentation_loss
from .recipe import Recipe
from .shared_memory import shared_like
from .validation import normalize


class Gradient(Closeable):
    """Context manager that fills the gradients of `network` from the batches of `iterations`, in order.

    cores: number of processes on a CPU, limited to half the batch size.

    The operators of the light network are too small for intra-op threads, and Python threads are serialized by the GIL,
    so each process runs in one thread, generates its part of the batch and computes its gradients. The parameters are
    in shared memory: an optimizer step in this process updates all processes. As in distributed training, batch norms
    use the statistics of their part of the batch; the running statistics are those of the first part.
    """

    def __init__(self, network: AMCNet, recipe: Recipe, source: Source, iterations: range, cores: int) -> None:
        self._network, self._recipe = network, recipe
        device = next(network.parameters()).device
        can_fork = "fork" in multiprocessing.get_all_start_methods()
        parts = max(1, min(cores, recipe.batch // 2)) if device.type == "cpu" and can_fork else 1
        self._opened = ExitStack()
        if device.type == "cpu" and can_fork:
            # A fork loses the thread pools of OpenMP and of OpenCV; a child that resizes one waits forever.
            self._opened.enter_context(torch_threads(1))
            self._opened.enter_context(single_threaded_opencv)
        ends = [int(end) for end in np.linspace(0, recipe.batch, parts + 1).round()]
        first, *others = [range(begin, end) for begin, end in pairwise(ends)]
        self._others: list[_Process] = []
        if others:
            parameters = list(network.parameters())
            with torch.no_grad():
                for parameter, memory in zip(parameters, shared_like(parameters), strict=True):
                    memory.copy_(parameter)
                    parameter.data = memory
            for places in others:
                self._others.append(_Process(network, recipe, source, iterations, places))
                self._opened.callback(self._others[-1].stop)
        self._batches = self._opened.enter_context(closing(load_batches(source, recipe, iterations, first, device)))

    def close(self) -> None:
        """Stop the processes and restore PyTorch's number of threads."""
        self._opened.close()

    def fill(self) -> Tensor:
        """Set the gradients of the network from the next batch; return the loss, a scalar."""
        for other in self._others:
            other.start()
        loss = _backward(self._network, next(self._batches), self._recipe)
        for other in self._others:
            loss = loss + other.add_gradients(self._network)
        return loss


class _Process:
    """A forked process that computes the gradients of the samples at the indices `places` of each batch."""

    def __init__(self, network: AMCNet, recipe: Recipe, source: Source, iterations: range, places: range) -> None:
        self._gradients = shared_like(_trained(network))
        context = multiprocessing.get_context("fork")
        self._connection, remote = context.Pipe()
        self._process = context.Process(
            target=_work,
            args=(network, recipe, source, iterations, places, self._gradients, remote, self._connection),
            daemon=True,
        )
        self._process.start()
        remote.close()

    def start(self) -> None:
        """Start the next batch."""
        with suppress(OSError):  # add_gradients reports it
            self._connection.send(None)

    def add_gradients(self, network: AMCNet) -> float:
        """Wait for the process's gradients and add them to those of `network`; return its part of the loss.

        Raises the process's exception, or AmcNetError if it has ended.
        """
        try:
            loss = self._connection.recv()
        except (EOFError, OSError) as error:
            self._process.join()
            raise AmcNetError(
                f"a training process ended early: got exit code {self._process.exitcode}, expected it to run to the "
                "end (-9 usually means out of memory). Fix: continue with --resume"
            ) from error
        if isinstance(loss, BaseException):
            raise loss
        pairs = [(p.grad, g) for p, g in zip(_trained(network), self._gradients, strict=True) if p.grad is not None]
        own, other = zip(*pairs, strict=True)
        torch._foreach_add_(own, other)
        return float(loss)

    def stop(self) -> None:
        """Stop the process, by closing the connection that it waits on."""
        self._connection.close()
        self._process.join()


def _work(
    network: AMCNet,
    recipe: Recipe,
    source: Source,
    iterations: range,
    places: range,
    gradients: list[Tensor],
    connection: Connection,
    other_end: Connection,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process handles Ctrl-C and closes the connection
    other_end.close()
    try:
        with closing(load_batches(source, recipe, iterations, places, torch.device("cpu"))) as batches:
            for batch in batches:
                connection.recv()
                loss = _backward(network, batch, recipe)
                pairs = [(g, p.grad) for p, g in zip(_trained(network), gradients, strict=True) if p.grad is not None]
                shared, own = zip(*pairs, strict=True)
                torch._foreach_copy_(shared, own)
                connection.send(float(loss))
    except (EOFError, ConnectionError):
        pass  # the first process has ended
    except Exception as error:  # raised by the first process
        connection.send(error)


def _trained(network: AMCNet) -> list[nn.Parameter]:
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _backward(network: AMCNet, batch: Batch, recipe: Recipe) -> Tensor:
    """Set the gradients of `network` from a part of a batch, weighted by its size; return the loss, a scalar."""
    device = next(network.parameters()).device
    mask = batch.mask.to(device, non_blocking=True).unsqueeze(1).float().div(255)
    image, flow_image = (normalize(x, device) for x in (batch.image, batch.flow_image))
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        output = network.details(image, flow_image)
    loss = segmentation_loss(output, mask, recipe.iou_loss_weight, recipe.supervised_attentions) * (
        len(mask) / recipe.batch
    )
    network.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach()
