"""How a network is trained: the paper's recipe and the one that made the embedded default."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SampleMix:
    """Of what the samples are drawn, as relative frequencies: DAVIS frames, still pictures, procedural clips, and
    objects of DAVIS frames pasted before still pictures.
    """

    davis: float
    pictures: float
    procedural: float
    pasted: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the weights besides the data.

    epochs: passes over the DAVIS frames; the length of the training unless `iterations` says it.
    sizes: side lengths of the square input in px, drawn anew for each batch.
    learning_rate, encoder_rate: of the decoder and of the encoders; biases learn `bias_factor` times as fast.
    gradient_norm: longest gradient that is not shortened to this.
    warmup: iterations over which the rate rises from zero, before it falls as (1 - t)^0.9.
    iou_loss_weight: weight of 1 - soft IoU of the mask, beside the binary cross-entropies.
    averaging: decay per iteration of the running average of the weights, 0 for none.
    rotation_deg, zoom, shear: ranges of the joint affine motion, ±, from-to and ±.
    jitter: strength of the color changes, 0 for none, 1 for strong.
    drop_flow, drop_image: how often a stream is made useless, so that the gates learn to close.
    perturb_flow: how often a camera motion is added to the flow, or the flow is paled as by an outlier.
    move_background: how often patches of the background get a motion of their own, as water, leaves and crowds have.
    image_as_flow: how often the motion stream gets the image instead of the flow picture, so that an object that stands
        still is found by its looks (TMO: Cho et al., Treating Motion as Option, WACV 2023).
    frozen_stages: how many stages of both encoders, from the finest on, keep their first weights: no backward pass
        through the motion encoder's.
    start, end: of what samples are drawn at the beginning and at the end, with a linear change between.
    """

    name: str
    backbone: str
    optimizer: str
    epochs: int = 0
    iterations: int = 0
    batch: int
    sizes: tuple[int, ...]
    learning_rate: float
    encoder_rate: float
    bias_factor: float = 1.0
    weight_decay: float
    gradient_norm: float = float("inf")
    warmup: int = 0
    iou_loss_weight: float = 0.0
    ema_decay: float = 0.0
    rotation_deg: float = 10.0
    zoom: tuple[float, float] = (0.75, 1.25)
    shear: float = 0.0
    color_jitter: float = 0.0
    drop_flow: float = 0.0
    drop_image: float = 0.0
    perturb_flow: float = 0.0
    move_background: float = 0.0
    image_as_flow: float = 0.0
    frozen_stages: int = 0
    start: SampleMix = SampleMix(davis=1, pictures=0, procedural=0)
    end: SampleMix = SampleMix(davis=1, pictures=0, procedural=0)
    seed: int = 2018


PAPER = Recipe(
    name="paper",
    backbone="resnet101",
    optimizer="sgd",
    epochs=100,
    batch=4,
    sizes=(384,),
    learning_rate=1e-3,
    encoder_rate=1e-3,
    bias_factor=2.0,
    weight_decay=5e-4,
)

# 30 sequences of highly alike frames are little: the pictures bring the variety, and most of the augmentation is there
# to keep the image stream from learning the 30 objects by heart. For all of DUTS-TR, 10,553 pictures: 50,000 iterations
# show each about 20 times. Length is what counts (J&F +5 from 800 to 3300 iterations); the average of the weights
# reaches over the last tenth of it. The bundled network is of an earlier recipe: 3300 iterations, an average of 0.998,
# no pasted objects, no stirred background, and the image never as flow.
LIGHT = Recipe(
    name="light",
    backbone="mobilenet_v2",
    optimizer="adamw",
    iterations=50_000,
    batch=8,
    sizes=(160, 192, 224, 256),
    learning_rate=2e-3,
    encoder_rate=2e-4,
    weight_decay=1e-2,
    gradient_norm=5.0,
    warmup=500,
    iou_loss_weight=1.0,
    ema_decay=0.9998,
    rotation_deg=15.0,
    zoom=(0.9, 1.7),
    shear=0.1,
    color_jitter=1.0,
    drop_flow=0.12,
    drop_image=0.08,
    perturb_flow=0.3,
    move_background=0.1,
    image_as_flow=0.05,
    start=SampleMix(davis=0.25, pictures=0.60, procedural=0.05, pasted=0.10),
    end=SampleMix(davis=0.45, pictures=0.44, procedural=0.01, pasted=0.10),
)

RECIPES = {recipe.name: recipe for recipe in (PAPER, LIGHT)}
