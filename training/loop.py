"""The training loop."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..runtime.errors import InputError, OutputError
from ..runtime.extras import require
from ..runtime.files.atomic import make_folder
from ..runtime.machine_info import available_cores
from ..runtime.opencv_state import single_threaded_opencv
from .data.batches import Source
from .data.clips import Clips
from .data.davis import find_sequences, hold_out
from .data.flow import FlowFunction, flow_function
from .data.pictures import Pictures
from .data.procedural import procedural_sample
from .data.sample import Sample
from .exported_weights import restore_batch_norms
from .first_weights import make_network
from .gradient import Gradient
from .log import Log
from .optimizer import make_optimizer, rate_factor
from .recipe import Recipe
from .state import load_state, save_state, save_weights
from .validation import Scores, normalize, score_sequences

_LOG_EVERY = 20  # iterations


def train(
    recipe: Recipe,
    output: Path,
    *,
    davis: Path | None = None,
    sequences: list[str] | None = None,
    pictures: Path | None = None,
    encoder: Path | None = None,
    init: Path | None = None,
    flow: str | Path = "dis",
    iterations: int | None = None,
    learning_rate: float | None = None,
    frozen_stages: int | None = None,
    validate_every: int = 400,
    hold_out: bool = True,
    save_minutes: float = 5.0,
    resume: bool = False,
) -> Path:
    """Train a network by `recipe`; return the path of best.pth, or of last.pth if no sequence is held out.

    output: folder for best.pth and last.pth (state dicts), state.pth (for `resume`), log.csv, validation.json,
        curve.png and the flow cache.
    davis: folder of DAVIS-2016 (data/davis.py). sequences: names of those to use; default: its training list.
    pictures: folder of still images with masks (data/pictures.py). Without davis and pictures, procedural clips only.
    encoder: ImageNet weights of the encoders. init: weights of the whole network, a checkpoint or an ONNX file of
        export-onnx; excludes encoder and resume.
    flow: optical flow of all samples, "dis" or the ONNX file of a PWC-Net or RAFT. A network takes 14 to 41 times as
        long as DIS; use the flow that inference will use.
    iterations: number of batches, 1 or more. learning_rate: of the decoder, above 0; that of the encoders is changed by
        the same factor. frozen_stages: 0 to 5. Default of each: the recipe's.
    validate_every: iterations between validations. best.pth has the best mean J&F of the held-out sequences so far.
    hold_out: whether to hold out sequences (data/davis.py), or without DAVIS images (data/pictures.py).
    save_minutes: minutes between writes of state.pth.
    resume: continue the training in `output`, which must have the same settings; the result equals that of an
        uninterrupted training. Without state.pth a new training starts.

    Raises InputError, CheckpointError, OutputError, ModelFileError for `flow`, and BackendError without Matplotlib.

        train(LIGHT, Path("out"), davis=Path("DAVIS"), pictures=Path("DUTS"), encoder=Path("mobilenet_v2_imagenet.npz"))
    """
    require("training", "matplotlib")  # now, rather than at the first plot
    for name, count in (("iterations", iterations), ("validate_every", validate_every)):
        if count is not None and count < 1:
            raise InputError(f"{name}: got {count}, expected 1 or more")
    state_path, best_path, last_path = output / "state.pth", output / "best.pth", output / "last.pth"
    if state_path.exists() and not resume:
        raise OutputError(
            f"{output} already holds a training. Fix: continue it with --resume, or choose another folder"
        )
    if init is not None and (resume or encoder is not None):
        other = "--resume" if resume else "--encoder"
        raise InputError(f"--init and {other} both give the initial weights; expected one of them. Fix: remove one")
    if davis is not None and not (recipe.start.has_davis or recipe.end.has_davis):
        raise InputError(
            f"--davis: the recipe {recipe.name!r} does not use DAVIS. Fix: remove --davis, or choose another recipe"
        )
    recipe = _changed(recipe, learning_rate, frozen_stages)
    compute_flow, flow_identity = flow_function(flow)
    flow_folder = output / ("flow" if flow_identity == "dis" else f"flow-{flow_identity[:12]}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = make_network(recipe, encoder, init).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    make_folder(output)
    with single_threaded_opencv:
        source, held_out = _data(davis, sequences, pictures, compute_flow, flow_folder, hold_out)
        if init is not None and init.suffix == ".onnx":
            batch = source.batch(replace(recipe, batch=64), 0, 1)
            restore_batch_norms(network, *(normalize(x, device) for x in (batch.image, batch.flow_image)))
    total = recipe.iterations if iterations is None else iterations
    if not total:
        if source.clips is None:
            raise InputError(
                f"the length of the recipe {recipe.name!r} is in epochs of DAVIS, which is missing. Fix: --davis DIR "
                "or --iterations N"
            )
        total = recipe.epochs * (len(source.clips.frames) // recipe.batch)

    average = copy.deepcopy(network).eval()
    optimizer = make_optimizer(network, recipe)
    done, seconds_before, best = 0, 0.0, 0.0
    if resume and state_path.is_file():
        done, seconds_before, best = load_state(
            state_path, recipe, total, sorted(held_out), flow_identity, network, average, optimizer
        )

    decay = 1 - 1 / max(1.0, recipe.ema_span * total)  # an average over 1 / (1 - decay) iterations
    log = Log(output, done)
    losses: list[Tensor] = []
    started = saved = time.monotonic()
    progress = tqdm(total=total, initial=done, desc=recipe.name, unit="it", smoothing=0.02, mininterval=1.0)
    with (
        single_threaded_opencv,  # the cores are used by PyTorch
        progress,
        Gradient(network, recipe, source, range(done, total), cores=available_cores()) as gradient,
    ):
        for iteration in range(done, total):
            factor = rate_factor(recipe, iteration, total)
            for group in optimizer.param_groups:
                group["lr"] = factor * group["full_rate"]
            losses.append(gradient.fill())
            nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_norm)
            optimizer.step()
            _update_average(average, network, min(decay, (1 + iteration) / (10 + iteration)))
            progress.update()
            done = iteration + 1
            seconds = seconds_before + time.monotonic() - started
            scores = None
            if held_out and (done % validate_every == 0 or done == total):
                scores = score_sequences(average, held_out, max(recipe.sizes))
                mean = Scores.average(list(scores.values())).mean
                if mean >= best:
                    best = mean
                    save_weights(best_path, average)
            if scores is not None or done % _LOG_EVERY == 0:
                loss = float(torch.stack(losses).mean())
                losses.clear()
                log.write(
                    iteration=done,
                    seconds=seconds,
                    learning_rate=factor * recipe.learning_rate,
                    loss=loss,
                    scores=scores,
                )
                progress.set_postfix(loss=f"{loss:.3f}", **({"J&F": f"{best:.3f}"} if held_out else {}))
            if done == total or time.monotonic() - saved > 60 * save_minutes:
                save_weights(last_path, average)
                save_state(
                    state_path,
                    recipe=recipe,
                    iterations=total,
                    held_out=sorted(held_out),
                    flow=flow_identity,
                    iteration=done,
                    seconds=seconds,
                    best=best,
                    network=network,
                    average=average,
                    optimizer=optimizer,
                )
                saved = time.monotonic()
    return best_path if held_out else last_path


def _changed(recipe: Recipe, learning_rate: float | None, frozen_stages: int | None) -> Recipe:
    """Return `recipe` with the settings that are not None."""
    if learning_rate is not None:
        if not 0 < learning_rate < float("inf"):
            raise InputError(f"--learning-rate: got {learning_rate}, expected a number above 0, such as 0.001")
        encoder_rate = recipe.encoder_rate * learning_rate / recipe.learning_rate
        recipe = replace(recipe, learning_rate=learning_rate, encoder_rate=encoder_rate)
    if frozen_stages is not None:
        if not 0 <= frozen_stages <= 5:
            raise InputError(
                f"--frozen-stages: got {frozen_stages}, expected 0 to 5, the number of stages of an encoder"
            )
        recipe = replace(recipe, frozen_stages=frozen_stages)
    return recipe


def _data(
    davis: Path | None,
    names: list[str] | None,
    pictures: Path | None,
    flow: FlowFunction,
    flow_folder: Path,
    with_held_out: bool,
) -> tuple[Source, dict[str, list[Sample]]]:
    """Return the training data, and the validation samples of each held-out sequence.

    Without DAVIS these are images with synthetic motion, named "pictures", or else procedural clips.
    """
    stills = Pictures(pictures, flow) if pictures else None
    if davis is None and stills:
        held_out = {"pictures": stills.hold_out()} if with_held_out else {}
        return Source(pictures=stills, flow=flow), held_out
    if davis is None:
        rng = np.random.default_rng(0)
        drawn = {"procedural": [procedural_sample(rng, flow) for _ in range(16)]}
        return Source(flow=flow), drawn if with_held_out else {}
    found = find_sequences(davis, names)
    rest, held = hold_out(found) if with_held_out else (found, [])
    if not rest:
        raise InputError(
            f"{davis}: got one sequence, expected two or more, because some are held out. Fix: --no-hold-out"
        )
    samples = {}
    for sequence in held:
        clip = Clips([sequence], flow_folder, flow)
        samples[sequence.name] = [clip.sample(index, lambda gaps: gaps[0]) for index in range(0, len(clip.frames), 4)]
    return Source(clips=Clips(rest, flow_folder, flow), pictures=stills, flow=flow), samples


@torch.no_grad()
def _update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Update the exponential moving average of the weights in place."""
    pairs = list(zip(average.state_dict().values(), network.state_dict().values(), strict=True))
    means, values = zip(*[(mean, value) for mean, value in pairs if mean.is_floating_point()], strict=True)
    # One fused call: separate calls launch 700 small kernels, 5 ms on a GPU.
    torch._foreach_lerp_(means, values, 1 - decay)
    for mean, value in pairs:
        if not mean.is_floating_point():
            mean.copy_(value)
