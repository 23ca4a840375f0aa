"""The gradient does not depend on the number of processes that share a batch."""

from __future__ import annotations

import copy
import dataclasses
import multiprocessing
import os
import signal

import pytest
import torch

from amcnet.models import AMCNet
from amcnet.runtime.errors import AmcNetError
from amcnet.training.data.batches import Source
from amcnet.training.first_weights import make_network
from amcnet.training.gradient import Gradient
from amcnet.training.recipe import LIGHT

RECIPE = dataclasses.replace(LIGHT, batch=4, sizes=(64,))
needs_fork = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this platform has no fork: training uses one process"
)


@pytest.fixture
def network() -> AMCNet:
    torch.manual_seed(0)
    return make_network(RECIPE)


def with_fixed_statistics(network: AMCNet) -> AMCNet:
    """Fix the statistics of the norms, which otherwise depend on the part of the batch."""
    return network.eval()


@needs_fork
def test_gradients_of_the_parts_sum_to_that_of_the_batch(network: AMCNet) -> None:
    found = []
    for cores in (1, 2):
        own = with_fixed_statistics(copy.deepcopy(network))
        with Gradient(own, RECIPE, Source(), range(2), cores) as gradient:
            losses = [float(gradient.fill()) for _ in range(2)]
        found.append((losses, [parameter.grad for parameter in own.parameters()]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    for whole, summed in zip(found[0][1], found[1][1], strict=True):
        assert whole is not None
        assert summed is not None
        torch.testing.assert_close(summed, whole, rtol=1e-3, atol=1e-5)


@needs_fork
def test_an_optimizer_step_updates_all_processes(network: AMCNet) -> None:
    own = with_fixed_statistics(network)
    with Gradient(own, RECIPE, Source(), range(2), cores=2) as gradient:
        gradient.fill()
        with torch.no_grad():
            for parameter in own.parameters():
                parameter.zero_()
        loss = float(gradient.fill())
    # Zero weights give 0.5 everywhere: six cross-entropies of log 2, and a soft IoU below 0.5.
    assert 6 * 0.693 < loss < 6 * 0.694 + 1


@needs_fork
def test_an_exception_in_another_process_is_raised(network: AMCNet) -> None:
    class Broken(Source):
        def batch(self, recipe, iteration, iterations, places=None):  # type: ignore[no-untyped-def]
            if places == range(2, 4):
                raise ValueError("the second part fails")
            return super().batch(recipe, iteration, iterations, places)

    with Gradient(network, RECIPE, Broken(), range(1), 2) as gradient, pytest.raises(ValueError, match="second part"):
        gradient.fill()


@needs_fork
def test_a_killed_process_raises(network: AMCNet) -> None:
    with Gradient(network, RECIPE, Source(), range(9), cores=2) as gradient:
        gradient.fill()
        (child,) = multiprocessing.active_children()
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        with pytest.raises(AmcNetError, match=r"exit code -9.*--resume"):
            gradient.fill()
    assert multiprocessing.active_children() == []
