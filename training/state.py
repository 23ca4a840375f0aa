"""Saved state of a training run: everything that resuming needs to continue exactly.

A state file is a dictionary: `recipe` (its fields), `iterations` (the length of the run), `held_out` (sequence names),
`flow` ("dis", or the SHA-256 of the flow network), `iteration`, `seconds` and `best` (progress), `network`, `average`
and `optimizer` (state dicts), `random` (PyTorch's).
"""

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
    """Write a plain state dict, replacing `path` atomically: after a kill it is the old file or the new one."""
    _replace(path, network.state_dict())


def save_state(
    path: Path,
    *,
    recipe: Recipe,
    iterations: int,
    held_out: list[str],
    flow: str,
    iteration: int,
    seconds: float,
    best: float,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write the state after `iteration` of `iterations`, replacing `path` atomically.

    The samples of each iteration follow from the recipe's seed, so no state of the data is saved.
    """
    state = {
        "recipe": asdict(recipe),
        "iterations": iterations,
        "held_out": held_out,
        "flow": flow,
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
    flow: str,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> tuple[int, float, float]:
    """Load `path` into the networks and the optimizer; return iterations done, seconds spent and best J&F so far.

    Raises CheckpointError for a file that is not readable, or that was written with another recipe, length, choice of
    held-out sequences or flow.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path} is not a readable state of a training: {error}. Fix: start a new training in another folder"
        ) from error
    saved = {
        **state["recipe"],
        "iterations": state["iterations"],
        "held_out": state.get("held_out", "unknown"),
        "flow": state.get("flow", "dis"),  # the only flow of earlier versions
    }
    current = {**asdict(recipe), "iterations": iterations, "held_out": held_out, "flow": flow}
    changed = [
        f"{key}: saved {saved.get(key, 'unknown')}, now {current.get(key, 'unknown')}"
        for key in {**current, **saved}
        if saved.get(key, "unknown") != current.get(key, "unknown")
    ]
    if changed:
        raise CheckpointError(
            f"{path} was saved with other settings: {'; '.join(changed)}. Fix: resume with the same settings, or start "
            "a new training from its weights (--init last.pth and another output folder)"
        )
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    return state["iteration"], state["seconds"], state["best"]


def _replace(path: Path, content: object) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:  # torch.save(path) hides the errno of a full disk
        torch.save(content, file)
