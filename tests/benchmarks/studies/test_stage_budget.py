"""Each stage of a frame is measured, and the stages of a run add up."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from amcnet.benchmarks.demo_clip import write_clip
from amcnet.benchmarks.studies.stage_budget import add_tone, stage_times, sum_of_stages

pytest.importorskip("openvino")


def test_each_stage_of_a_frame_is_measured(tmp_path: Path) -> None:
    write_clip(tmp_path / "silent.mp4", 4)
    clip = add_tone(tmp_path / "silent.mp4", tmp_path / "clip.mp4")
    with av.open(str(clip)) as copy:
        assert len(list(copy.decode(video=0))) == 4
    with av.open(str(clip)) as copy:
        seconds = sum(sound.samples for sound in copy.decode(audio=0)) / 48_000
    assert seconds == pytest.approx(4 / 24, abs=0.05)
    times = stage_times(clip, ("fp32",), tmp_path / "out")
    stages = {"decode", "convert to RGB", "flow: DIS", "flow: color", "prepare", "network: fp32", "temporal"}
    assert stages <= set(times)
    assert all(ms > 0 for stage, ms in times.items() if stage != "overlay: audio")  # a difference
    assert len(list((tmp_path / "out" / "masks").glob("*.png"))) == 4
    assert (tmp_path / "out" / "encode, audio.mp4").stat().st_size > (tmp_path / "out" / "encode.mp4").stat().st_size


def test_the_stages_of_a_run_add_up() -> None:
    stages = {"decode": 1.0, "network: bf16": 20.0, "network: fp32": 30.0, "write masks": 2.0, "overlay: encode": 4.0}
    assert sum_of_stages(stages, "bf16", "masks and overlay") == 27
    assert sum_of_stages(stages, "fp32", "masks") == 33
