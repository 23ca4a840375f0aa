"""Latency of the preprocessing steps, compared with Pillow and with direct implementations of the formulas.

    python -m amcnet.benchmarks.studies.preprocess_speed

The two sides of each line alternate. Needs Pillow (pip install '.[test]').
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from ...runtime.command import cli_entry_point
from ...runtime.extras import require
from ...runtime.flow.color_wheel import COLOR_WHEEL
from ...runtime.flow.flow import DisFlow
from ...runtime.flow.flow_color import color_flow
from ...runtime.frame import Frame
from ...runtime.preprocessing.resize import Bicubic, normalize
from ...runtime.preprocessing.spec import Preprocessing

ROUNDS = 40
NETWORK = Preprocessing(size=(384, 384), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
VIDEO_SIZES = ((854, 480), (1280, 720), (1920, 1080))


@cli_entry_point
def main() -> int:
    """Print one line per step: median ms of amcnet, of the other form, and the median of their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    require("preprocess_speed", "PIL")
    from PIL import Image

    rng = np.random.default_rng(0)
    print(f"{'step':<38}{'amcnet ms':>10}{'other ms':>10}{'ratio':>7}")
    for width, height in VIDEO_SIZES:
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        ours, pillow = Bicubic((width, height), NETWORK.size), Image.fromarray(pixels)
        _line(
            f"bicubic {width}x{height}, Pillow",
            partial(ours, pixels),
            partial(pillow.resize, NETWORK.size, Image.Resampling.BICUBIC),
        )
    image = rng.integers(0, 256, (384, 384, 3), dtype=np.uint8)
    _line("normalize 384x384, formula", lambda: normalize(image, NETWORK), lambda: _normalize_directly(image))
    for width, height in ((384, 384), VIDEO_SIZES[0]):
        flow = np.asarray(cv2.GaussianBlur(rng.normal(size=(height, width, 2)), (0, 0), 8), np.float32)
        _line(
            f"color flow {width}x{height}, formula",
            partial(color_flow, flow),
            partial(_color_directly, flow),
        )
    scene = np.asarray(cv2.GaussianBlur(rng.integers(0, 256, (480, 858, 3), dtype=np.uint8), (0, 0), 3), np.uint8)
    frames = [Frame(pixels=scene[:, x : x + 854], index=x, pts=x, pts_seconds=x) for x in (0, 4)]
    small, large = DisFlow(NETWORK.size), DisFlow(VIDEO_SIZES[0])
    _line("DIS flow of 854x480, full size", lambda: small.flow(*frames), lambda: large.flow(*frames))
    return 0


def _line(step: str, ours: Callable[[], object], other: Callable[[], object]) -> None:
    times = [(_elapsed_ms(ours), _elapsed_ms(other)) for _ in range(ROUNDS + 1)][1:]  # the first is the warm-up
    ours_ms, other_ms = (statistics.median(side) for side in zip(*times, strict=True))
    ratio = statistics.median(a / b for a, b in times)
    print(f"{step:<38}{ours_ms:>10.2f}{other_ms:>10.2f}{ratio:>7.2f}")


def _elapsed_ms(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return (time.perf_counter() - start) * 1e3


def _normalize_directly(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    scaled = image.astype(np.float32) / 255
    scaled = (scaled - np.array(NETWORK.mean, np.float32)) / np.array(NETWORK.std, np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def _color_directly(flow: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The formula of the color wheel with gathers, without tiling."""
    wheel = COLOR_WHEEL / 255
    longest = np.linalg.norm(flow, axis=2).max() + np.float32(1e-5)
    u, v = flow[..., 0] / longest, flow[..., 1] / longest
    length = np.sqrt(u * u + v * v)[..., None]
    position = (np.arctan2(-v, -u) / np.float32(np.pi) + 1) / 2 * 54
    hue = np.floor(position).astype(np.int32)
    part = (position - hue)[..., None]
    color = (1 - part) * wheel[hue] + part * wheel[(hue + 1) % 55]
    color = np.where(length <= 1, 1 - length * (1 - color), color * 0.75)
    return np.asarray(np.floor(255 * color), np.uint8)


if __name__ == "__main__":
    sys.exit(main())
