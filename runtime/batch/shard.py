"""A part of a batch, chosen by a hash: N machines with the shards 0/N to N-1/N do all videos, each of them once."""

from __future__ import annotations

import argparse
import hashlib
import os
from dataclasses import dataclass

from .video import Video


@dataclass(frozen=True)
class Shard:
    """Shard `index` (from 0) of `count`."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`"3/8"` to the fourth of eight shards; for argparse."""
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise argparse.ArgumentTypeError(f"got {text!r}, expected I/N with I from 0 to N-1, such as 0/8")
        return cls(int(index), int(count))

    def has(self, video: Video) -> bool:
        """Whether the video belongs to this shard: SHA-256 of its relative path, modulo `count`.

        The other videos of the batch make no difference, so that a shard stays the same when videos are added.
        """
        digest = hashlib.sha256(os.fsencode(video.relative)).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index
