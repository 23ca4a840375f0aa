"""Arrays from a camera or decoder of the caller as frames, timed by their arrival."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..frame import Frame


def live_frames(arrays: Iterable[NDArray[Any] | Frame], order: str = "rgb") -> Iterator[Frame]:
    """A `Frame` for each of `arrays`, with the seconds from the first to its arrival; a `Frame` stays as it is.

    The arrays and `order` are those of `Frame.from_array`. Raises InputError, with the number of the frame.
    """
    if isinstance(arrays, np.ndarray) and (arrays.ndim < 3 or (arrays.ndim == 3 and arrays.shape[2] in (3, 4))):
        raise InputError(
            f"got one array of shape {arrays.shape}, expected an iterable of frames. Fix for a single frame: [frame]"
        )
    begin_seconds: float | None = None
    for index, array in enumerate(arrays):
        now = time.monotonic()
        begin_seconds = now if begin_seconds is None else begin_seconds
        if isinstance(array, Frame):
            yield array
            continue
        try:
            yield Frame.from_array(array, index=index, pts_seconds=now - begin_seconds, order=order)
        except InputError as error:
            raise InputError(f"frame {index}: {error}") from error
