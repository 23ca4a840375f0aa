"""Evaluate a folder of masks against a folder of annotations: J and F per sequence, and their average."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ...runtime.errors import InputError
from ...runtime.metrics.boundary import boundary_accuracy
from ...runtime.metrics.region import region_similarity
from ...runtime.version import __version__
from .protocol import PROTOCOLS, FramePair, Protocol, find_pairs
from .score import Score


@dataclass(frozen=True, kw_only=True)
class FrameScore:
    """J (`region`) and F (`boundary`) of one frame, both in [0, 1]."""

    pair: FramePair
    region: float
    boundary: float


@dataclass(frozen=True, kw_only=True)
class SequenceEvaluation:
    """One sequence: its scored frames, and J and F over them."""

    name: str
    frames: tuple[FrameScore, ...]
    region: Score
    boundary: Score

    @property
    def worst(self) -> FrameScore:
        """The frame with the lowest J, the first of several."""
        return min(self.frames, key=lambda frame: frame.region)

    def to_json(self) -> dict[str, Any]:
        """{"J": {...}, "F": {...}, "frames": number of scored frames}."""
        return {"J": self.region.to_json(), "F": self.boundary.to_json(), "frames": len(self.frames)}


@dataclass(frozen=True)
class Evaluation:
    """The scores of all sequences, by the rules of `protocol`."""

    protocol: Protocol
    sequences: tuple[SequenceEvaluation, ...]

    @cached_property
    def region(self) -> Score:
        """J, averaged over the sequences regardless of their length."""
        return Score.average([sequence.region for sequence in self.sequences])

    @cached_property
    def boundary(self) -> Score:
        """F, averaged over the sequences."""
        return Score.average([sequence.boundary for sequence in self.sequences])

    @property
    def region_and_boundary(self) -> float:
        """J&F, the mean of the average J mean and the average F mean."""
        return (self.region.mean + self.boundary.mean) / 2

    @property
    def frames(self) -> int:
        """Number of scored frames of all sequences."""
        return sum(len(sequence.frames) for sequence in self.sequences)

    def to_json(self) -> dict[str, Any]:
        """The content of `amc-eval --json`: scores in [0, 1], None for statistics of too short a sequence."""
        return {
            "protocol": self.protocol.name,
            "frames": self.frames,
            "sequences": {sequence.name: sequence.to_json() for sequence in self.sequences},
            "average": {
                "J": self.region.to_json(),
                "F": self.boundary.to_json(),
                "J&F": self.region_and_boundary,
            },
            "versions": {"amcnet": __version__, "numpy": np.__version__, "opencv": cv2.__version__},
        }


def evaluate(
    masks: Path,
    annotations: Path,
    *,
    protocol: str = "davis16",
    sequences: Sequence[str] | None = None,
    progress: bool = False,
) -> Evaluation:
    """Score a folder of masks against a folder of annotations, by the rules of a data set's official evaluation.

        scores = evaluate(Path("masks"), Path("DAVIS/Annotations/480p"), sequences=["blackswan"])
        scores.region.mean, scores.boundary.mean, scores.to_json()

    J is the intersection over union of a mask and its annotation, F the F-measure of their boundaries (Perazzi et al.,
    A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation, CVPR 2016, section 4).

    Args:
        masks: folder with one folder per sequence of PNG masks, one per frame; see `find_pairs` for the layouts.
        annotations: folder of the data set's annotations, at the size of the masks.
        protocol: "davis16", "fbms" or "youtube-objects"; see protocol.py for the rules.
        sequences: names of the sequences to score; None for all that are annotated.
        progress: show a progress bar on stderr if that is a terminal.

    Returns:
        J and F of each frame and sequence, and their averages over the sequences, all in [0, 1].

    Raises:
        InputError: the protocol is unknown; a file is missing, cannot be read or has another size.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"unknown protocol: got {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
    rules = PROTOCOLS[protocol]
    pairs = find_pairs(masks, annotations, rules, sequences)
    everything = [pair for of_sequence in pairs.values() for pair in of_sequence]
    # Decoding and dilation release the GIL, so threads are enough.
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        scored = pool.map(partial(_score, protocol=rules), everything)
        hidden = None if progress else True  # None: shown if stderr is a terminal
        frames = iter(tqdm(scored, total=len(everything), unit="frame", leave=False, disable=hidden))
        return Evaluation(
            rules,
            tuple(
                _sequence(name, tuple(next(frames) for _ in of_sequence), rules) for name, of_sequence in pairs.items()
            ),
        )
    finally:
        # After an error or Ctrl-C, drop pending tasks and finish running ones (10 ms): a thread that is still inside
        # OpenCV at interpreter exit aborts the process with "terminate called".
        pool.shutdown(cancel_futures=True)


def _score(pair: FramePair, protocol: Protocol) -> FrameScore:
    mask, annotation = pair.read(protocol)
    return FrameScore(
        pair=pair, region=region_similarity(mask, annotation), boundary=boundary_accuracy(mask, annotation)
    )


def _sequence(name: str, frames: tuple[FrameScore, ...], protocol: Protocol) -> SequenceEvaluation:
    # The official scripts compute recall and decay without the first and last frame in every data set. DAVIS has
    # excluded them already; in sparsely annotated data sets they count for the mean only.
    inner = frames if protocol.skip_ends else frames[1:-1]
    return SequenceEvaluation(
        name=name,
        frames=frames,
        region=Score.of([f.region for f in frames], [f.region for f in inner]),
        boundary=Score.of([f.boundary for f in frames], [f.boundary for f in inner]),
    )
