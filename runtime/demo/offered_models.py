"""The networks that the page offers, of which the latest one used is loaded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..closeable import Closeable
from ..files.bundled_network import MODELS
from ..segmenter import Segmenter
from ..segmenter_plan import SegmenterPlan
from .options import DemoOptions


class OfferedModels(Closeable):
    """`names`: the bundled networks in FP32 and, on a CPU, in INT8, and the files of `options`.

    with models.loaded(models.names[0]) as segmenter:
        ...
    """

    def __init__(self, options: DemoOptions) -> None:
        """Check all files; nothing is loaded. Raises the errors of `Segmenter.load`."""
        self._plans = {
            f"{model}, {precision.upper()}": SegmenterPlan.make(
                model=model, precision=precision, flow=options.flow, device=options.device
            )
            for model in MODELS
            for precision in (("fp32", "int8") if options.device == "cpu" else ("fp32",))  # INT8 is for CPUs
        }
        for file in options.models:
            is_engine = file.suffix == ".engine"
            self._plans[file.name if file.name not in self._plans else str(file)] = SegmenterPlan.make(
                None if is_engine else file,
                engine=file if is_engine else None,
                flow=options.flow,
                device=options.device,
            )
        self._lock = threading.Lock()
        self._loaded: tuple[str, Segmenter] | None = None

    @property
    def names(self) -> list[str]:
        return list(self._plans)

    @contextmanager
    def loaded(self, name: str) -> Iterator[Segmenter]:
        """The Segmenter of that name, for one caller at a time. Raises the errors of `Segmenter.open`."""
        with self._lock:
            if self._loaded is None or self._loaded[0] != name:
                self._close()
                self._loaded = (name, Segmenter.open(self._plans[name]))
            yield self._loaded[1]

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._loaded is not None:
            self._loaded[1].close()
            self._loaded = None
