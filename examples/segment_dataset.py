"""Segment the videos of a Parquet file on a Ray cluster, and write their masks to Parquet files.

python examples/segment_dataset.py videos.parquet masks/

videos.parquet has a column `path` (paths or addresses of videos) and any others. RAY_ADDRESS=HOST:PORT names the
cluster; without it, Ray starts one on this machine. Needs pip install 'amcnet[cpu,ray]'.
"""

from __future__ import annotations

import sys

import ray

from amcnet import SegmentVideos


def main(source: str, output: str) -> None:
    ray.init(logging_level="warning")
    actors = ray.data.ActorPoolStrategy(size=max(1, int(ray.cluster_resources().get("CPU", 1)) - 1))  # one CPU to read
    videos = ray.data.read_parquet(source)
    masks = videos.map(SegmentVideos, fn_constructor_kwargs={"column": "path"}, compute=actors, num_cpus=1)
    masks.write_parquet(output)
    for row in ray.data.read_parquet(output, columns=["path", "frames", "error"]).take_all():
        print(row["path"], row["error"] or f"{row['frames']} masks")


if __name__ == "__main__":
    main(*sys.argv[1:])
