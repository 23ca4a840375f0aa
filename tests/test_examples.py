"""Runs of the programs in examples/."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from amcnet.benchmarks.demo_clip import render_frame, write_clip
from amcnet.runtime.batch.cli import _parser as batch_parser
from amcnet.runtime.batch.shard import Shard

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TESTED = {"segment_video.py", "own_frames.py", "live_camera.py", "export_quantize_run.py", "segment_dataset.py"}
FRAMES = 6


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("examples") / "clip.mp4"
    write_clip(path, FRAMES)
    return path


def _run(name: str, *arguments: Path) -> str:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_each_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == TESTED


def test_segment_video_prints_a_line_per_mask(clip: Path, tmp_path: Path) -> None:
    printed = _run("segment_video.py", clip, tmp_path / "masks")
    assert len(printed.splitlines()) == FRAMES
    masks = sorted((tmp_path / "masks").iterdir())
    assert [path.name for path in masks] == [f"{index:05d}.png" for index in range(FRAMES)]
    for index, path in enumerate(masks):
        mask, (_, truth) = cv2.imread(str(path), cv2.IMREAD_UNCHANGED), render_frame(index)
        assert mask is not None
        assert set(np.unique(mask)) <= {0, 255}
        assert (truth & (mask > 0)).sum() / (truth | (mask > 0)).sum() > 0.8


def test_own_frames_segments_an_array(tmp_path: Path) -> None:
    np.save(tmp_path / "clip.npy", np.stack([render_frame(index)[0] for index in range(FRAMES)]))
    lines = _run("own_frames.py", tmp_path / "clip.npy").splitlines()
    assert len(lines) == FRAMES
    shares = [float(line.split("covers ")[1].split(" %")[0]) for line in lines]
    truth = 100 * np.mean([render_frame(index)[1].mean() for index in range(FRAMES)])
    assert np.mean(shares) == pytest.approx(truth, rel=0.2)


def test_live_camera_segments_a_stream(clip: Path) -> None:
    lines = _run("live_camera.py", clip).splitlines()
    assert len(lines) == FRAMES
    shares = [float(line.split("covers ")[1].split(" %")[0]) for line in lines]
    truth = 100 * np.mean([render_frame(index)[1].mean() for index in range(FRAMES)])
    assert np.mean(shares) == pytest.approx(truth, rel=0.2)


def _shell_command(name: str) -> list[str]:
    """The command in the script or Job, with the variables that Slurm or Kubernetes sets for part 1 of 8."""
    text = (EXAMPLES / name).read_text()
    command = re.search(r"exec (amc-batch (?:[^\"\n\\]|\"\$[^\"]*\"|\\\n)+)", text)
    assert command is not None
    environment = {"JOB_COMPLETION_INDEX": "1", "SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "8"}
    script = f"set -u\nprintf '%s\\n' {command[1]}"
    run = ["sh", "-c", script, "batch_slurm.sh", "/data/videos", "/data/masks"]
    environment |= {"SLURM_CPUS_PER_TASK": "4", "PATH": os.environ["PATH"]}
    return subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize("name", ["batch_slurm.sh", "batch_kubernetes.yaml"])
def test_batch_on_a_cluster_runs(name: str) -> None:
    program, *arguments = _shell_command(name)
    assert program == "amc-batch"
    parsed = vars(batch_parser().parse_args(arguments))
    assert (parsed["sources"], parsed["output"]) == (["/data/videos"], Path("/data/masks"))
    assert (parsed["shard"], parsed["jobs"], parsed["timeout"]) == (Shard(1, 8), 4, 3600)
    text = (EXAMPLES / name).read_text()
    assert re.findall(r"(?:completions: |parallelism: |--array=0-)(\d+)", text) in (["8", "8"], ["7"])


@pytest.mark.slow
def test_export_quantize_run_runs(clip: Path, tmp_path: Path) -> None:
    printed = _run("export_quantize_run.py", clip, tmp_path)
    assert (tmp_path / "amcnet.onnx").exists()
    assert (tmp_path / "amcnet.int8.onnx").exists()
    assert f"over {FRAMES} frames" in printed
    assert float(printed.split("masks: ")[1].split(" over")[0]) > 0.8


@pytest.mark.slow
def test_segment_dataset_runs(clip: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray.data", reason="Ray is not installed: make test-ray")
    from pyarrow import parquet, table

    paths = [str(clip), str(tmp_path / "gone.mp4")]
    parquet.write_table(table({"path": paths, "label": [1, 2]}), tmp_path / "videos.parquet")
    code = (
        "import ray, runpy, sys; ray.init(num_cpus=2, object_store_memory=80 * 2**20, include_dashboard=False); "
        "ray.init = lambda **_: None; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", code, EXAMPLES / "segment_dataset.py", tmp_path / "videos.parquet", tmp_path / "m"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert f"{clip} {FRAMES} masks" in result.stdout
    rows = {row["path"]: row for row in parquet.read_table(tmp_path / "m").to_pylist()}
    assert (rows[paths[0]]["label"], rows[paths[0]]["error"], len(rows[paths[0]]["masks"])) == (1, "", FRAMES)
    assert "there is no such file" in rows[paths[1]]["error"]
