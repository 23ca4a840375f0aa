"""A video of images drawn from masks, at the size and times of the source and with its audio."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import numpy as np
from av.container import OutputContainer
from numpy.typing import NDArray

from ..files.atomic import begin, cannot_write, commit, discard
from ..frame import Frame, MaskFrame, SourceInfo
from .source_tracks import SourceTracks
from .video_encoding import H264, VideoEncoding
from .video_track import VideoTrack


class VideoWriter:
    """Writes a video whose images `draw` makes of the masks of a source, frame by frame.

        with VideoWriter(path, info, lambda m: blend(m.frame.pixels, m.mask), name="overlay") as overlay:
            overlay.write(m)

    The video has the size and sample aspect ratio of the first frame (later frames of another size are scaled to it),
    the frames' times to the tick of the container, and the audio tracks and tags of `info.video`. A run that begins
    with the source's first frame keeps the times that a player shows for the source; one that begins later starts at 0,
    sound and frames alike. Sound is cut to the time span of the frames.

    However the `with` block is left, by an exception or Ctrl-C too, the file is finished, playable with the frames so
    far, and renamed to `path`. Without a single frame, or if it cannot be written (OutputError), nothing is left under
    that name. `notes` has a sentence for everything that differs from the source; it is complete after the block.
    """

    def __init__(
        self,
        path: Path,
        info: SourceInfo,
        draw: Callable[[MaskFrame], NDArray[np.uint8]],
        *,
        name: str,
        encoding: VideoEncoding = H264,
    ) -> None:
        """`name` stands in the notes: "the overlay keeps …"."""
        self.notes: list[str] = []
        self._path, self._info, self._draw, self._name = path, info, draw, name
        self._encoding = encoding
        self._temporary: Path | None = None
        self._container: OutputContainer | None = None
        self._track: VideoTrack | None = None
        self._tracks = SourceTracks()
        self._first_size: tuple[int, int] | None = None
        self._resized = self._broken = False

    def __enter__(self) -> Self:
        self._temporary = begin(self._path)
        return self

    def write(self, m: MaskFrame) -> None:
        """Add the image of `m`. Raises OutputError."""
        frame, pixels = m.frame, self._draw(m)
        with self._writing():
            if self._container is None or self._track is None:
                self._first_size = (pixels.shape[1], pixels.shape[0])
                self._container, self._track = self._open(frame)
            self._resized |= pixels.shape[1::-1] != self._first_size
            self._track.add(pixels, frame.pts, frame.duration)
            for audio in self._tracks.audio:
                audio.advance(self._container, until=self._track.begin_seconds(frame.pts))

    def __exit__(self, *_: object) -> None:
        try:
            if self._container is not None and self._track is not None and not self._broken:
                with self._writing():
                    self._finish(self._container, self._track)
                if self._temporary is not None:
                    commit(self._temporary, self._path)
        finally:
            self._tracks.close()
            if self._container is not None:
                with suppress(av.FFmpegError, OSError):  # of a broken file; a finished one is closed already
                    self._container.close()
            if self._temporary is not None:
                discard(self._temporary)

    def _open(self, frame: Frame) -> tuple[OutputContainer, VideoTrack]:
        self._tracks = tracks = SourceTracks.of(self._info, self._name, self._encoding.audio)
        begin_seconds = frame.pts * self._info.time_base
        from_the_start = 0 <= begin_seconds <= (tracks.video_start or 0)
        origin = min(tracks.zero, begin_seconds) if from_the_start else begin_seconds
        size = self._encoding.encodable(frame.pixels.shape[1], frame.pixels.shape[0])
        container, track = self._begin(size, origin)
        if tracks.audio:
            for audio in tracks.audio:
                audio.attach(container, origin=origin or None)
            try:
                container.start_encoding()
            except ValueError as error:  # of FFmpeg: a track that the container cannot describe
                for audio in tracks.audio:
                    audio.leave_out(error)
                container, track = self._begin(size, origin)
        return container, track

    def _begin(self, size: tuple[int, int], origin: Fraction) -> tuple[OutputContainer, VideoTrack]:
        options = self._encoding.container_options(self._info)
        container = av.open(f"file:{self._temporary}", "w", format=self._encoding.container, container_options=options)
        container.metadata.update(self._tracks.tags)
        return container, VideoTrack(container, self._info, size, origin, self._encoding)

    def _finish(self, container: OutputContainer, track: VideoTrack) -> None:
        end_seconds = track.finish()
        for audio in self._tracks.audio:
            audio.advance(container, until=end_seconds)
        container.close()
        self.notes += [*self._tracks.notes, *(note for audio in self._tracks.audio for note in audio.notes)]
        width, height = track.size
        if self._first_size != track.size:
            limits = "x".join(map(str, self._first_size or ()))
            self.notes.append(
                f"the {self._name} is {width}x{height}, the frames {limits}: {self._encoding.name} has at most "
                f"{self._encoding.largest} pixels a side"
            )
        ratio = self._info.sample_aspect_ratio
        if ratio != 1 and not self._encoding.keeps_aspect_ratio:
            self.notes.append(
                f"the {self._name} has square pixels, the source {ratio.numerator}:{ratio.denominator}, which PyAV "
                "cannot store in Matroska and WebM files"
            )
        if self._resized:
            self.notes.append(
                f"the frames change size on their way; the {self._name} keeps the first one's, {width}x{height}"
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            self._broken = True
            reason = OSError(error.errno, error.strerror)
            raise cannot_write(self._path, reason) from error
