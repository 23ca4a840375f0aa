"""Connections that are lost while a video is read, and live streams that are opened again."""

from __future__ import annotations

import time

import av
from av.error import ExitError, FFmpegError

from ..errors import InputError
from .network import PAUSES_SECONDS, TIMEOUT_SECONDS
from .video_stream import open_container


class NetworkFaults:
    """The faults of one connection: `ended_by` is the reason why it ended early, `opened_again` how often it was."""

    def __init__(self) -> None:
        self.ended_by: str | None = None
        self.opened_again = 0
        self._frames = 0  # when it was opened last

    def lost(self, error: FFmpegError) -> None:
        """Note that reading failed with `error`."""
        timed_out = isinstance(error, ExitError)  # PyAV's own time-out
        self.ended_by = f"no data for {TIMEOUT_SECONDS:g} s" if timed_out else error.strerror or "unknown error"

    def open_again(self, url: str, frames: int) -> av.container.InputContainer | None:
        """Open `url` after `frames` frames, in several attempts; None if it fails or gave no frame since the last time.

        It takes up to 15 s, and the time-outs of the attempts.
        """
        self.ended_by = self.ended_by or "the server ended it"
        if frames == self._frames:
            return None
        for pause in PAUSES_SECONDS:
            time.sleep(pause)
            try:
                container = open_container(url)
            except InputError:
                continue
            self.opened_again += 1
            self._frames, self.ended_by = frames, None
            return container
        return None
