"""All outputs of a run of `amc-infer`, and the masks that a resumed run reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from ..errors import InputError
from ..frame import MaskFrame, SourceInfo
from ..stage_times import StageTimes
from .background import Background
from .cutout import Cutout
from .image_writer import ImageWriter
from .kinds import KINDS, require_kinds
from .mask_files import encode_png, index_name, mask_pixels
from .matte import Matte
from .open_writer import open_writer
from .run_folder import STORE
from .writer import Writer


def check_outputs(
    kinds: Iterable[str],
    *,
    threshold: float,
    soft_edges: tuple[float, float] | None = None,
    background: str | Path | None = None,
) -> tuple[list[str], Matte]:
    """The kinds in their order, and the matte. Raises InputError for options that are wrong or have no effect."""
    kinds, matte = require_kinds(kinds), Matte.make(threshold, soft_edges)
    if soft_edges is not None and not any(KINDS[kind].soft for kind in kinds):
        raise InputError("soft edges: no output has them. Fix: --write alpha-prores, or leave out --soft-edges")
    if background is not None:
        if "background" not in kinds:
            raise InputError(f"background: got {str(background)!r} without that output. Fix: --write background")
        Background(background).close()
    return kinds, matte


class RunOutputs:
    """The writers of `kinds`, in the folder of a run.

    Videos and texts are written again when a run is resumed, from the masks of its first part. Those are the masks that
    the run writes; if it writes none, or a video with soft edges, they are masks or mattes in the folder `resume`,
    which is removed when the run is complete. `store` is the name of the folder.

    Making one writes nothing. Raises InputError as `check_outputs`.
    """

    def __init__(
        self,
        kinds: Iterable[str],
        folder: Path,
        info: SourceInfo,
        *,
        threshold: float,
        soft_edges: tuple[float, float] | None = None,
        background: str | Path | None = None,
        name: Callable[[int], str] = index_name,
    ) -> None:
        self.kinds, self.matte = check_outputs(kinds, threshold=threshold, soft_edges=soft_edges, background=background)
        reads_mattes = any(KINDS[kind].soft and not KINDS[kind].is_folder for kind in self.kinds)
        self.store = "masks" if "masks" in self.kinds and not reads_mattes else STORE
        cutout = Cutout(self.matte)
        self._writers: dict[str, Writer] = {
            kind: open_writer(
                kind, folder / KINDS[kind].path, info, background=background or "blur", name=name, cutout=cutout
            )
            for kind in self.kinds
        }
        if self.store == STORE:
            draw = cutout.alpha if reads_mattes else lambda m: mask_pixels(m.mask)
            self._writers[STORE] = ImageWriter(folder / STORE, lambda m: encode_png(draw(m)), name)
        self._entered = ExitStack()

    @property
    def notes(self) -> list[str]:
        return [note for writer in self._writers.values() for note in writer.notes]

    def write(self, m: MaskFrame, times: StageTimes, kept: int) -> None:
        """Write `m`; the images of the first `kept` frames are there already. Raises OutputError."""
        for kind, writer in self._writers.items():
            if m.index >= kept or not isinstance(writer, ImageWriter):
                with times(f"write {kind}"):
                    writer.write(m)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for writer in self._writers.values():
                stack.enter_context(writer)
            self._entered = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._entered.close()
