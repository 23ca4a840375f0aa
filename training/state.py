"""Where a training stands, on disk: enough to go on as if it had never been stopped."""

from __future__ import annotations

import pickle
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from ..runtime.errors import CheckpointError
from ..runtime.files.atomic import replacing
from .recipe import Recipe


def save_weights(path: Path, network: nn.Module) -> None:
    """A plain state dict, replacing `path` in one step: a kill leaves the old file or the new one."""
    _replace(path, network.state_dict())


def save_state(
    path: Path,
    *,
    recipe: Recipe,
    iterations: int,
    held_out: list[str],
    iteration: int,
    seconds: float,
    best: float,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """`iteration` iterations of `iterations` are done. The order of the data follows from the recipe's seed."""
    state = {
        "recipe": asdict(recipe),
        "iterations": iterations,
        "held_out": held_out,
        "iteration": iteration,
        "seconds": seconds,
        "best": best,
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
    }
    _replace(path, state)


def load_state(
    path: Path,
    recipe: Recipe,
    iterations: int,
    held_out: list[str],
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> tuple[int, float, float]:
    """Fill the networks and the optimizer from `path`; iterations done, seconds spent, best J&F so far.

    Raises CheckpointError for a file that is not readable or belongs to another recipe, length or choice of sequences.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} cannot be resumed from: {error}; start anew without --resume") from error
    here = {**asdict(recipe), "iterations": iterations, "held_out": held_out}
    there = {**state["recipe"], "iterations": state["iterations"], "held_out": state.get("held_out", "unknown")}
    changed = [
        f"{key} {there.get(key, 'unknown')} then, {here.get(key, 'unknown')} now"
        for key in {**here, **there}
        if there.get(key, "unknown") != here.get(key, "unknown")
    ]
    if changed:
        raise CheckpointError(
            f"{path} is of another training: {'; '.join(changed)}. Fix: use the same settings, or begin a new training "
            "from its weights (--init last.pth, another output folder)"
        )
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    return state["iteration"], state["seconds"], state["best"]


def _replace(path: Path, content: object) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:  # torch's own opening hides a full disk's reason
        torch.save(content, file)
