"""Mask files for tests, as `amc-infer` writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amcnet.runtime.output.mask_files import encode_png, index_name, mask_pixels, write_image


def write_mask(folder: Path, index: int, mask: NDArray[np.bool_]) -> Path:
    """Write `mask` (H, W) to folder/NNNNN.png and return that path."""
    path = folder / index_name(index)
    write_image(path, encode_png(mask_pixels(mask)))
    return path
