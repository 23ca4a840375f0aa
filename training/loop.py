"""The training loop."""

from __future__ import annotations

import copy
import os
import time
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from .. import InputError, OutputError
from ..export.atomic import make_folder
from ..models.amcnet import AMCNet, AMCNetConfig
from .batches import Source
from .clips import Clips
from .davis import find_sequences, hold_out
from .encoder_weights import load_encoders
from .gradient import Gradient
from .loader import load_batches
from .log import Log
from .optimiser import make_optimiser, rate_factor
from .pictures import Pictures
from .procedural import procedural_sample
from .recipe import Recipe
from .sample import Sample
from .state import load_state, save_state, save_weights
from .validation import mean_overlap

_LOG_EVERY = 20  # iterations


def train(
    recipe: Recipe,
    output: Path,
    *,
    davis: Path | None = None,
    sequences: list[str] | None = None,
    pictures: Path | None = None,
    encoder: Path | None = None,
    iterations: int | None = None,
    validate_every: int = 400,
    save_minutes: float = 5.0,
    resume: bool = False,
) -> Path:
    """Train by `recipe` and give the path of the best weights, `output`/best.pth.

    davis: DAVIS-2016, of which `sequences` are used (default: its training list); every tenth from the eighth on is
    held out, and the best weights are those of the best J there. pictures: `images` and `masks`. Without either,
    procedural clips alone. encoder: ImageNet weights. iterations: instead of the recipe's.
    In `output`: best.pth, last.pth (state dicts), state.pth (for `resume`), log.csv, curve.png and the flow cache.
    Raises InputError, CheckpointError, OutputError.
    """
    # DIS cuts the picture by the number of threads: with one, its flow is the same anywhere, and the cores are torch's.
    cv2.setNumThreads(1)
    torch.manual_seed(recipe.seed)
    for name, count in (("iterations", iterations), ("validate_every", validate_every)):
        if count is not None and count < 1:
            raise InputError(f"{name} is {count}; expected 1 or more")
    state_path, best_path = output / "state.pth", output / "best.pth"
    if state_path.exists() and not resume:
        raise OutputError(f"{output} holds a training already; go on with it (--resume) or choose another folder")
    make_folder(output)
    source, held_out = _data(davis, sequences, pictures, output / "flow")
    total = recipe.iterations if iterations is None else iterations
    if not total:
        if source.clips is None:
            raise InputError(f"the recipe {recipe.name!r} counts in passes over DAVIS; name it, or set the iterations")
        total = recipe.epochs * (len(source.clips.frames) // recipe.batch)

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = AMCNet(AMCNetConfig(backbone=recipe.backbone))
    if encoder is not None:
        load_encoders(network, encoder)
    network = network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    average = copy.deepcopy(network).eval()
    optimiser = make_optimiser(network, recipe)
    done, seconds_before, best = 0, 0.0, 0.0
    if resume and state_path.is_file():
        done, seconds_before, best = load_state(state_path, recipe, total, network, average, optimiser)

    gradient = Gradient(network, recipe, cores=os.cpu_count() or 1)
    log = Log(output, done)
    losses: list[Tensor] = []
    started = saved = time.monotonic()
    progress = tqdm(total=total, initial=done, desc=recipe.name, unit="it", smoothing=0.02, mininterval=1.0)
    batches = load_batches(source, recipe, range(done, total), device)
    with progress, closing(batches):
        for iteration, batch in enumerate(batches, done):
            factor = rate_factor(recipe, iteration, total)
            for group in optimiser.param_groups:
                group["lr"] = factor * group["full_rate"]
            losses.append(gradient.fill(batch))
            nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_norm)
            optimiser.step()
            decay = min(recipe.averaging, (1 + iteration) / (10 + iteration))
            _average(average, network, decay)
            progress.update()
            done = iteration + 1
            seconds = seconds_before + time.monotonic() - started
            overlap = None
            if done % validate_every == 0 or done == total:
                overlap = mean_overlap(average, held_out, max(recipe.sizes))
                if overlap >= best:
                    best = overlap
                    save_weights(best_path, average)
            if overlap is not None or done % _LOG_EVERY == 0:
                loss = float(torch.stack(losses).mean())
                losses.clear()
                log.write(
                    iteration=done,
                    seconds=seconds,
                    learning_rate=factor * recipe.learning_rate,
                    loss=loss,
                    overlap=overlap,
                )
                progress.set_postfix(loss=f"{loss:.3f}", J=f"{best:.3f}")
            if done == total or time.monotonic() - saved > 60 * save_minutes:
                save_weights(output / "last.pth", average)
                save_state(
                    state_path,
                    recipe=recipe,
                    iterations=total,
                    iteration=done,
                    seconds=seconds,
                    best=best,
                    network=network,
                    average=average,
                    optimiser=optimiser,
                )
                saved = time.monotonic()
    return best_path


def _data(
    davis: Path | None, names: list[str] | None, pictures: Path | None, flow_folder: Path
) -> tuple[Source, list[Sample]]:
    """What to train on, and the samples held out."""
    stills = Pictures(pictures) if pictures else None
    if davis is None:
        rng = np.random.default_rng(0)
        return Source(pictures=stills), [procedural_sample(rng) for _ in range(16)]
    found = find_sequences(davis, names)
    rest, held = hold_out(found)
    if not rest:
        raise InputError(f"{davis} gives one sequence; expected two or more, since some are held out of the training")
    unseen = Clips(held, flow_folder)
    every_fourth = [unseen.sample(number, lambda gaps: gaps[0]) for number in range(0, len(unseen.frames), 4)]
    return Source(clips=Clips(rest, flow_folder), pictures=stills), every_fourth


@torch.no_grad()
def _average(average: nn.Module, network: nn.Module, decay: float) -> None:
    pairs = list(zip(average.state_dict().values(), network.state_dict().values(), strict=True))
    means, values = zip(*[(mean, value) for mean, value in pairs if mean.is_floating_point()], strict=True)
    # At once: one by one, the launches of 700 small kernels take a GPU 5 ms.
    torch._foreach_lerp_(means, values, 1 - decay)
    for mean, value in pairs:
        if not mean.is_floating_point():
            mean.copy_(value)
