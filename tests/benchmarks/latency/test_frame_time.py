"""Time per frame by thread, and the bottleneck."""

from __future__ import annotations

from pathlib import Path

import pytest

from amcnet.benchmarks.demo_clip import write_clip
from amcnet.benchmarks.latency.frame_time import THREADS, frame_gaps_ms, frame_time, thread_times, verdict
from amcnet.runtime.mask_networks import frames_at_once


def test_stages_that_share_a_thread_add_up() -> None:
    stages = {
        "decode": 2.0,
        "flow": 10,
        "prepare": 5,
        "network": 60,
        "upsample": 2,
        "temporal": 1,
        "write masks": 1,
        "write overlay": 7,
    }
    assert thread_times(stages, at_once=2) == {"decode": 2, "flow": 15, "network": 31, "filter": 1, "encode": 8}


def test_frames_that_come_in_pairs_take_half_of_the_time_between_pairs() -> None:
    done_s = [1.0, 1.02, 2.0, 2.02, 3.0, 3.02]
    assert frame_gaps_ms(done_s, at_once=2) == pytest.approx([500] * 4)
    assert frame_gaps_ms(done_s[::2], at_once=1) == pytest.approx([1000, 1000])


def test_a_run_limited_by_the_network_is_recognized() -> None:
    said = verdict({"decode": 2.0, "flow": 15.0, "network": 31.0, "encode": 8.0}, cores_busy=0.5, at_once=2)
    assert (
        said == "network-bound: a faster network helps until flow is the bottleneck (31.0 ms per frame, flow 15.0 ms)"
    )


def test_a_run_limited_by_decoding_is_recognized() -> None:
    said = verdict({"decode": 20.0, "flow": 15.0, "network": 3.0, "encode": 8.0}, cores_busy=0.5, at_once=2)
    assert said == "decode-bound: a faster network has no effect (decode takes 20.0 ms per frame)"


def test_a_run_limited_by_the_processor_is_recognized() -> None:
    threads = {
        "decode": 0.0,
        "flow": 20.0,
        "network": 20.0,
        "encode": 20.0,
    }  # of two frames at once: 40 ms of work each
    said = verdict(threads, cores_busy=0.97, at_once=2)
    assert "the network is 50% of the work, so halving its time saves about 25% per frame" in said


def test_a_run_of_the_bundled_network_is_measured(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    write_clip(clip, 16)
    report = frame_time(clip, amcnet=None, flow="dis", frames=14)
    assert report["frames"] == 14
    gaps = 14 - frames_at_once()
    assert report["latency"]["runs"] == gaps - min(8, gaps // 2)  # the first ones warm up
    assert report["frames_per_second"] == pytest.approx(1e3 / report["latency"]["p50_ms"], rel=0.01)
    assert {stage for stages in THREADS.values() for stage in stages} >= set(report["stages_ms"])
    assert report["critical_path"] in THREADS
    assert 0 < report["cores_busy"] <= 1.05
    larger = frame_time(clip, amcnet=None, model="base", flow="dis", frames=6)
    assert larger["amcnet"].startswith("amcnet-base.")
