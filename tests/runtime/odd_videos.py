"""Unusual videos made by program, and the frames that each holds; in place of the shared videos.

python tests/runtime/odd_videos.py FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

MakeClip = Callable[..., Path]
KEY = "00112233445566778899aabbccddeeff"


@dataclass(frozen=True, kw_only=True)
class OddVideo:
    """What a video holds: `frames` of these sizes (W, H), fewer if it is damaged; or an error that contains `error`."""

    path: Path
    frames: int = 0
    sizes: tuple[tuple[int, int], ...] = ((64, 48),)
    damaged: bool = False
    error: str | None = None

    def may_have(self, frames: int) -> bool:
        """What is left of a damaged one depends on the decoder: at least a third."""
        return self.frames / 3 < frames <= self.frames if self.damaged else frames == self.frames


def make_odd_videos(folder: Path, make_clip: MakeClip) -> list[OddVideo]:
    """Write them to `folder` with the `make_clip` of clips.py."""

    def clip(name: str, frames: int, **options: object) -> Path:
        return make_clip(folder / name, frames=frames, **options)

    def remux(source: Path, name: str, **options: str) -> Path:
        path = folder / name
        with av.open(str(source)) as reader, av.open(str(path), "w", options=options) as writer:
            stream = reader.streams.video[0]
            copy = writer.add_stream_from_template(stream)
            for packet in reader.demux(stream):
                if packet.dts is not None and packet.pts is not None:
                    packet.stream = copy
                    writer.mux(packet)
        return path

    def cut(source: Path, name: str, length: int) -> Path:
        (folder / name).write_bytes(source.read_bytes()[:length])
        return folder / name

    long, source = clip("long.mkv", 40, size=(320, 240)), clip("long.mp4", 40, size=(320, 240))
    large, small = clip("large.h264", 6), clip("small.h264", 5, size=(32, 24))
    fragments = remux(source, "fragments.mp4", movflags="frag_keyframe+empty_moov")
    cipher = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": KEY, "encryption_kid": KEY[::-1]}
    encrypted = remux(source, "encrypted.mp4", movflags="faststart", **cipher)
    (folder / "text.mp4").write_text("no video")
    (folder / "empty.webm").touch()
    (folder / "two-sizes.h264").write_bytes(large.read_bytes() + small.read_bytes())
    tail = cut(long, "cut.mkv", long.stat().st_size * 7 // 10)
    hole = bytearray(clip("hole.mp4", 60, size=(320, 240)).read_bytes())
    hole[len(hole) // 2 : len(hole) // 2 + 2000] = bytes(2000)
    (folder / "hole.mp4").write_bytes(hole)
    return [
        OddVideo(path=clip("turned-90.mp4", 3, rotation=90), frames=3),
        OddVideo(path=clip("turned-180.mov", 3, rotation=180), frames=3),
        OddVideo(path=clip("variable-rate.mkv", 6, pts=[0, 900, 4500, 5400, 90_000, 91_800]), frames=6),
        OddVideo(path=clip("one-frame.mp4", 1), frames=1),
        OddVideo(path=clip("odd-size.mp4", 2, size=(65, 47)), frames=2, sizes=((65, 47),)),
        OddVideo(path=clip("tiny.avi", 2, size=(2, 2), codec="png"), frames=2, sizes=((2, 2),)),
        OddVideo(path=clip("with-sound.mp4", 5, audio=True), frames=5),
        OddVideo(path=clip("slow.flv", 4, rate=Fraction(1, 2)), frames=4),
        OddVideo(path=clip("vp9.webm", 3, codec="libvpx-vp9"), frames=3),
        OddVideo(path=_wide_pixels(folder / "wide-pixels.mp4"), frames=2),
        OddVideo(path=large, frames=6),
        OddVideo(path=folder / "two-sizes.h264", frames=11, sizes=((64, 48), (32, 24))),
        OddVideo(path=fragments, frames=40, sizes=((320, 240),)),
        OddVideo(path=tail, frames=40, sizes=((320, 240),), damaged=True),
        OddVideo(path=folder / "hole.mp4", frames=60, sizes=((320, 240),), damaged=True),
        OddVideo(path=_sound(folder / "sound.m4a"), error="only audio"),
        OddVideo(
            path=cut(fragments, "header.mp4", fragments.read_bytes().index(b"moof") - 4), error="has no frame of it"
        ),
        OddVideo(path=cut(encrypted, "secret.mp4", encrypted.read_bytes().index(b"mdat") + 4), error="is encrypted"),
        OddVideo(path=folder / "text.mp4", error="cannot be opened"),
        OddVideo(path=folder / "empty.webm", error="the file is empty"),
    ]


def _wide_pixels(path: Path) -> Path:
    """Two gray frames whose pixels are shown 16:9."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, width=64, height=48, pix_fmt="yuv420p")
        stream.codec_context.sample_aspect_ratio = Fraction(16, 9)
        for _ in range(2):
            gray = np.full((48, 64, 3), 128, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(gray, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def _sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 44_100
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    from clips import make_clip

    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    for video in make_odd_videos(Path(sys.argv[1]), make_clip):
        print(video)
