"""A folder with one PNG image per frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

from ..frame import MaskFrame
from .mask_files import index_name, write_image


class ImageWriter:
    """Writes `encode(m)`, a PNG file, to `folder` under `name(index)` for each frame.

    with ImageWriter(folder, lambda m: encode_png(mask_pixels(m.mask))) as masks:
        masks.write(m)
    """

    def __init__(
        self, folder: Path, encode: Callable[[MaskFrame], bytes], name: Callable[[int], str] = index_name
    ) -> None:
        self.notes: list[str] = []
        self._folder, self._encode, self._name = folder, encode, name

    def write(self, m: MaskFrame) -> None:
        """Write the image of `m`. Raises OutputError."""
        write_image(self._folder / self._name(m.index), self._encode(m))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Each file is whole already."""
