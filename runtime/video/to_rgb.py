"""Decoded video frames to upright 8-bit SDR RGB."""

from __future__ import annotations

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from ..errors import InputError
from .orientation import Orientation
from .side_data import side_data
from .tone_mapping import BT709_PRIMARIES, BT2020_PRIMARIES, HLG, P3_PRIMARIES, PQ, to_bt709, to_sdr

_UNSPECIFIED, _BT709, _BT2020 = 2, 1, 9  # matrix coefficients, as in H.273, Table 4
_PEAK_NITS = 1000.0  # of PQ content without mastering metadata
_PRIMARIES = {BT709_PRIMARIES: "BT.709", P3_PRIMARIES: "P3"}  # others of HDR are taken for BT.2020
_WIDE = {BT2020_PRIMARIES: "BT.2020", P3_PRIMARIES: "P3"}


class ToRgb:
    """Converts the frames of one video with the matrix and range that they name, or else their container; `note` tells
    of a conversion from HDR or from a wide gamut.

    Without a matrix it is BT.709 from 720 lines or 1280 columns on and BT.601 below, as in players. PQ and HLG are tone
    mapped. The orientation of a frame holds until another one comes: H.264 streams mark only some frames.

    `context` is that of the decoder, before its first frame: it holds what the container names until then.
    """

    def __init__(self, name: str, context: av.VideoCodecContext) -> None:
        self.note: str | None = None
        self._name, self._context = name, context
        self._reformatter = VideoReformatter()  # one for all: frame.to_ndarray makes a scaler for every frame
        self._orientation: Orientation | None = None
        self._peak_nits: float | None = None
        self._container_tags = (context.colorspace, context.color_trc, context.color_primaries)

    def __call__(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, upright. Raises InputError."""
        if self._orientation is None or frame.rotation not in (0, self._orientation.rotation):
            # Not for every frame: one whose side data was read waits for the garbage collector (PyAV makes a cycle of
            # references), which let memory grow by 75 MiB at 640x480.
            self._orientation = Orientation.of(frame)
        return np.ascontiguousarray(self._orientation.apply(self.stored(frame)))

    def stored(self, frame: av.VideoFrame, *, is_photo: bool = False) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB as it is stored. A photo without a matrix has BT.601 at any size. Raises InputError."""
        stream_tags = (frame.colorspace, self._context.color_trc, self._context.color_primaries)
        matrix, transfer, primaries = (
            container if stream == _UNSPECIFIED else stream
            for stream, container in zip(stream_tags, self._container_tags, strict=True)
        )
        hdr = transfer in (PQ, HLG)
        is_hd = (frame.height >= 720 or frame.width >= 1280) and not is_photo
        if matrix == _UNSPECIFIED and (hdr or is_hd):
            matrix = _BT2020 if hdr else _BT709
        if frame.colorspace == _UNSPECIFIED != matrix:
            frame.colorspace = matrix
        try:
            # Planar for 16 bits: FFmpeg 8.0 writes zeros into two channels of rgb48le.
            rgb = self._reformatter.reformat(frame, format="gbrp16le" if hdr else "rgb24").to_ndarray()
        except (FFmpegError, OSError) as error:
            raise InputError(
                f"{self._name}: {frame.format.name} frames with color matrix {frame.colorspace} cannot be converted "
                f"to RGB ({error.strerror}); encode the video anew in BT.709"
            ) from error
        if hdr:
            return self._tone_mapped(np.asarray(rgb, np.uint16), frame, transfer, primaries)
        pixels = np.asarray(rgb, np.uint8)
        if primaries in _WIDE:
            self.note = f"{self._name}: the colors are converted from {_WIDE[primaries]} to BT.709"
            pixels = to_bt709(pixels, primaries)
        return pixels

    def _tone_mapped(
        self, rgb: NDArray[np.uint16], frame: av.VideoFrame, transfer: int, primaries: int
    ) -> NDArray[np.uint8]:
        if self._peak_nits is None:
            self._peak_nits = _mastering_peak(frame) or _PEAK_NITS
            kind = "HLG" if transfer == HLG else f"PQ, {self._peak_nits:.0f} nits"
            gamut = _PRIMARIES.get(primaries, "BT.2020")
            self.note = f"{self._name}: HDR ({kind}, {gamut}) is tone mapped to SDR (BT.709) by ITU-R BT.2390"
        return to_sdr(rgb, transfer, self._peak_nits, primaries)


def _mastering_peak(frame: av.VideoFrame) -> float | None:
    """The brightest value of the mastering display in nits (FFmpeg's AVMasteringDisplayMetadata)."""
    metadata = side_data(frame, "MASTERING_DISPLAY_METADATA")
    if metadata is None:
        return None
    numbers = np.frombuffer(metadata[:88], np.int32)
    numerator, denominator, has_luminance = int(numbers[18]), int(numbers[19]), int(numbers[21])
    return numerator / denominator if has_luminance and denominator and numerator else None
