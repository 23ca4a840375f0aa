"""A callable class for Ray Data: rows with videos in, rows with their masks out."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InputError, OutputError
from ..infer import InferOptions, infer
from ..output.mask_files import read_mask
from ..output.rle import encode_counts, run_lengths
from ..segmenter import Segmenter
from .cloud import is_url, path_of
from .local_run import local_run
from .options import segmenter_arguments
from .ray_workers import claim_assigned_cores


class SegmentVideos:
    """Segment the video of a row of a Ray dataset; see examples/segment_dataset.py.

        actors = ray.data.ActorPoolStrategy(size=4)
        videos = ray.data.read_parquet("videos.parquet")
        masks = videos.map(SegmentVideos, fn_constructor_kwargs={"threshold": 0.4}, compute=actors, num_cpus=1)
        masks.write_parquet("masks")

        SegmentVideos(threshold=0.4)({"path": "clip.mp4"})  # without Ray: {"path": "clip.mp4", "frames": 24, ...}

    Each actor loads the network once. A row keeps its columns and gets five more:

    | column | content |
    |---|---|
    | `frames` | number of masks, 0 after an error |
    | `height`, `width` | of the masks, in pixels |
    | `masks` | a text per frame: COCO's compressed counts, as in pycocotools, or with `output` the path of a PNG |
    | `error` | why the video could not be segmented, empty otherwise |

    Args:
        column: the column with the video: a path, an address such as s3://bucket/a.mp4, or the bytes of a file.
        output: folder or address for what `amc-infer` writes, `output/PATH/` for each video, PATH being its path, or
            the SHA-256 of its bytes. None: the masks are in the row and nothing is written.
        amcnet, engine, flow, threshold, device, precision, model: as for `Segmenter.load`.
        start, frames, stride: as for `open_frames`.

    Raises:
        AmcNetError: those of `Segmenter.load`. A video that cannot be read, and a result that cannot be written, is an
            `error` of its row.
    """

    def __init__(
        self,
        *,
        column: str = "path",
        output: str | None = None,
        amcnet: str | None = None,
        engine: str | None = None,
        flow: str = "dis",
        threshold: float = 0.5,
        device: str = "cpu",
        precision: str = "auto",
        model: str = "light",
        start: int = 0,
        frames: int | None = None,
        stride: int = 1,
    ) -> None:
        claim_assigned_cores()
        self._column, self._output = column, output
        self._options = InferOptions(
            source="",
            output="",
            amcnet=amcnet,
            engine=engine,
            flow=flow,
            threshold=threshold,
            device=device,
            precision=precision,
            model=model,
            start=start,
            frames=frames,
            stride=stride,
            overwrite=True,
        )
        self._segmenter = Segmenter.load(**segmenter_arguments(self._options))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        if self._column not in row:
            raise InputError(f"there is no column {self._column!r}; expected one of {', '.join(row)}. Fix: column=NAME")
        try:
            with _source(row[self._column]) as (source, name):
                made = self._write(source, name) if self._output else self._encode(source)
            return row | made | {"error": ""}
        except (InputError, OutputError) as error:
            return row | {"frames": 0, "height": 0, "width": 0, "masks": [], "error": str(error)}

    def _encode(self, source: str) -> dict[str, Any]:
        counts, shape = [], (0, 0)
        with local_run(replace(self._options, source=source)) as local:
            selection = {"start": local.start, "frames": local.frames, "stride": local.stride}
            for m in self._segmenter.video(local.source, **selection):  # type: ignore[arg-type]
                counts.append(encode_counts(run_lengths(m.mask)))
                shape = m.mask.shape
        return {"frames": len(counts), "height": shape[0], "width": shape[1], "masks": counts}

    def _write(self, source: str, name: str) -> dict[str, Any]:
        output = f"{self._output}/{name}"
        shape = (0, 0)
        with local_run(replace(self._options, source=source, output=output)) as local:
            report = infer(local, segmenter=self._segmenter, source_name=source)
            masks = sorted(path.name for path in Path(local.output, "masks").iterdir())
            shape = read_mask(Path(local.output, "masks", masks[0])).shape
        paths = [f"{output}/masks/{mask}" for mask in masks]
        return {"frames": report["frames"], "height": shape[0], "width": shape[1], "masks": paths}


@contextmanager
def _source(value: str | bytes) -> Iterator[tuple[str, str]]:
    """The path or address of a video, and the name of its output."""
    if isinstance(value, str):
        yield value, path_of(value) if is_url(value) else os.path.abspath(value).lstrip(os.sep)
        return
    with tempfile.NamedTemporaryFile(prefix="amcnet-") as file:
        file.write(value)
        file.flush()
        yield file.name, hashlib.sha256(value).hexdigest()
