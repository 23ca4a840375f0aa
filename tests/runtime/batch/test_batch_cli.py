"""The command `amc-batch`: printed text, exit status, Ctrl-C and SIGKILL."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import wait_for

from amcnet.runtime.batch import cli
from amcnet.runtime.files.bundled_network import DEFAULT_AMCNET

MakeVideos = Callable[..., None]
Run = Callable[..., tuple[int, str, str]]
CommandLine = Callable[[str, Callable[[], int]], Run]
_COMMAND = [sys.executable, "-c", "import sys; from amcnet.runtime.batch.cli import main; sys.exit(main())"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are of another kind")


@pytest.fixture
def run(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """`run(*arguments) -> (exit status, stdout, stderr)`, in tmp_path."""
    monkeypatch.chdir(tmp_path)
    return command_line("amc-batch", cli.main)


def test_all_done_is_status_0_and_some_failed_is_3(
    run: Run, make_videos: MakeVideos, amcnet_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amcnet.runtime.batch.summary.is_installed", lambda module: False)
    make_videos("a", "day/b")
    arguments = ["videos", "-o", "out", "--amcnet", amcnet_onnx, "--jobs", 1, "--threshold", 0.4]
    status, out, err = run(*arguments)
    assert (status, err) == (0, "")
    files = ["summary  out/summary.csv", "summary  out/summary.html"]
    assert out.splitlines() == ["2 videos done, 0 done earlier, 0 failed", *files]
    assert json.loads(Path("out/day/b/run.json").read_text())["settings"]["threshold"] == 0.4

    Path("videos/broken.mp4").write_text("no video")
    status, out, err = run(*arguments, "--retries", 0)
    assert status == 3
    assert out.splitlines() == ["0 videos done, 2 done earlier, 1 failed", *files]
    lines = err.splitlines()
    assert lines[0] == "1 videos to do; in an earlier run 2 were done and 0 failed (--retry-failed)"
    assert lines[1] == lines[2], "at once, and at the end"
    assert lines[2].startswith("failed: broken.mp4: ")
    assert lines[3:] == ["try these again with --retry-failed"]


def test_a_file_name_that_begins_with_a_dash_is_no_option(run: Run, make_videos: MakeVideos, amcnet_onnx: Path) -> None:
    make_videos("a")
    Path("videos/a.mp4").rename("-a.mp4")
    assert run("-a.mp4", "-o", "out", "--amcnet", amcnet_onnx, "--jobs", 1)[0] == 0
    assert json.loads(Path("out/-a/run.json").read_text())["complete"]


def test_a_video_that_takes_too_long_fails(run: Run, make_videos: MakeVideos, amcnet_onnx: Path) -> None:
    make_videos("a")
    status, _, err = run("videos", "-o", "out", "--amcnet", amcnet_onnx, "--timeout", 0.0001, "--retries", 0)
    assert status == 3
    assert "failed: a.mp4: not done after 0.0001 s (--timeout), at frame " in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gone", "-o", "out"], "error: gone: there is no such file or folder; expected a video, a folder"),
        (["videos", "videos/a.mp4", "-o", "out"], "error: {tmp}/videos/a.mp4: the video is listed twice"),
        (["videos", "-o", "out", "--threshold", "2"], "error: threshold is 2.0; expected a number between 0 and 1"),
        (["videos", "-o", "videos/a.mp4/out"], "error: cannot write videos/a.mp4/out: Not a directory"),
        (["videos", "-o", "out", "--amcnet", "gone.onnx"], "error: gone.onnx"),
    ],
)
def test_errors_are_one_line_and_status_2(
    run: Run, make_videos: MakeVideos, tmp_path: Path, arguments: list[str], says: str
) -> None:
    make_videos("a")
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(says.replace("{tmp}", str(tmp_path)))
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["videos"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["videos"],
        ["-o", "out"],
        ["videos", "-o", "out", "--shard", "2/2"],
        ["videos", "-o", "out", "--jobs", "0"],
        ["videos", "-o", "out", "--timeout", "-1"],
        ["videos", "-o", "out", "--timeout", "nan"],
        ["videos", "-o", "out", "--retries", "-1"],
        ["videos", "-o", "out", "--limit", "0"],
        ["videos", "-o", "out", "--retry-failed", "--overwrite"],
    ],
)
def test_wrong_usage_is_status_2(run: Run, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run(*arguments)
    assert exit_.value.code == 2
    assert not Path("out").exists()


def test_help_imports_no_video_library() -> None:
    code = (
        "import sys; from amcnet.runtime.batch.cli import main\ntry: main()\n"
        "finally: print(sorted({'numpy', 'cv2', 'av', 'tqdm', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: amc-batch")
    assert done.stdout.endswith("129 SIGHUP\n[]\n")


def test_all_options_of_amc_infer_exist(capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import fields

    from amcnet.runtime.infer import InferOptions

    arguments = vars(cli._parser().parse_args(["v", "-o", "out"]))
    named = {field.name for field in fields(InferOptions)} - {"source", "resume"}
    assert named <= arguments.keys()


# --- --dry-run


def test_a_dry_run_writes_nothing_and_estimates(
    run: Run, make_videos: MakeVideos, amcnet_onnx: Path, tmp_path: Path
) -> None:
    make_videos("a", "day/b", frames=6)
    Path("videos/broken.mp4").write_text("no video")
    status, out, err = run("videos", "-o", "out", "--amcnet", amcnet_onnx, "--limit", 3, "--dry-run")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "3 videos: 3 to do, 0 done, 0 failed, 0 beyond --limit"
    assert f"{tmp_path}/videos/day/b.mp4 -> out/day/b" in lines
    assert lines[-1].startswith("about 12 frames, ")
    assert lines[-1].endswith("measured on 6 frames)")
    assert [path.name for path in tmp_path.iterdir()] == ["videos"]


def test_a_dry_run_reports_too_little_space(
    run: Run, make_videos: MakeVideos, amcnet_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_videos("a", frames=3)
    monkeypatch.setattr("amcnet.runtime.batch.estimate.free_bytes", lambda folder: 1000)
    status, out, _ = run("videos", "-o", "out", "--amcnet", amcnet_onnx, "--dry-run", "--write", "alpha-prores, rle")
    assert status == 0
    assert out.splitlines()[-1] == "out has 0.0 MiB free. Fix: free some space, or write less with --write"


def test_a_dry_run_of_unreadable_videos_gives_no_estimate(run: Run, amcnet_onnx: Path) -> None:
    Path("videos").mkdir()
    Path("videos/broken.mp4").write_text("no video")
    status, out, _ = run("videos", "-o", "out", "--amcnet", amcnet_onnx, "--dry-run")
    assert status == 0
    assert out.splitlines()[-1] == "no estimate: of 1 videos none can be read or tells its length"


# --- signals


def _start(*arguments: object) -> subprocess.Popen[str]:
    """In a process group of its own, as a shell starts it, with Ctrl-C as usual."""
    default = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [*_COMMAND, *map(str, arguments)],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, default)


def _children(process: subprocess.Popen[str]) -> list[Path]:
    pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [Path("/proc", pid) for pid in pids]


def _kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL to the command alone, and wait until its workers are gone by themselves."""
    children = _children(process) if sys.platform == "linux" and process.poll() is None else []
    process.kill()
    process.communicate()
    while any((child / "exe").exists() for child in children):
        time.sleep(0.01)


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_unfinished_videos_resumable(
    make_videos: MakeVideos, tmp_path: Path, amcnet_onnx: Path, number: signal.Signals
) -> None:
    make_videos("a", "b", "c", frames=300)
    out = tmp_path / "out"
    process = _start(tmp_path / "videos", "-o", out, "--amcnet", amcnet_onnx, "--jobs", 2)
    try:
        wait_for(lambda: all((out / name / "masks" / "00003.png").exists() for name in "ab"), process)
        os.killpg(process.pid, number)  # a terminal and `timeout` send it to all processes of the command
        _, err = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 128 + number, err
    assert "Traceback" not in err
    assert not (out / "c").exists()
    for name in "ab":
        report = json.loads((out / name / "run.json").read_text())
        status = json.loads((out / "status" / f"{name}.mp4.json").read_text())
        assert (report["complete"], status["state"]) == (False, "running")
        assert 4 <= report["frames"] == len(list((out / name / "masks").iterdir())) < 300
        assert sorted(path.name for path in (out / name).iterdir()) == ["masks", "overlay.mp4", "run.json"]


@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
def test_ctrl_c_ends_processes_that_are_starting(make_videos: MakeVideos, tmp_path: Path, amcnet_onnx: Path) -> None:
    make_videos("a", "b")
    process = _start(tmp_path / "videos", "-o", tmp_path / "out", "--amcnet", amcnet_onnx, "--jobs", 2)
    try:
        wait_for(lambda: len(_children(process)) >= 2, process)  # one keeps track of shared memory
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err


def _results(out: Path) -> dict[str, Any]:
    """All files by their names: bytes, or what must be the same in every run."""
    return {str(path.relative_to(out)): _result(path) for path in sorted(out.rglob("*")) if path.is_file()}


def _result(path: Path) -> Any:
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        changing = ("seconds", "fps", "latency_ms", "computed_frames", "median_flow_px", "attempts")
        return {name: value for name, value in content.items() if name not in changing}
    if path.suffix == ".csv":
        with path.open(newline="") as table:
            return [row | {"seconds": "", "attempts": ""} for row in csv.DictReader(table)]
    if path.suffix == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.read_table(path).drop_columns(["seconds", "attempts"]).to_pylist()
    return "a page" if path.suffix == ".html" else path.read_bytes()


def _moments_by_masks(out: Path) -> Iterator[Callable[[], bool]]:
    """When a video has a few masks."""
    yield lambda: (out / "a" / "masks" / "00005.png").exists()


def _random_moments(seconds: float) -> Iterator[Callable[[], bool]]:
    """Ten, anywhere in the time that a whole run takes."""
    chance = random.Random(1)
    for _ in range(10):
        end = time.monotonic() + chance.uniform(0, seconds)
        yield lambda end=end: time.monotonic() >= end  # type: ignore[misc]


@posix
@pytest.mark.parametrize("at_random", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_killed_batch_started_again_writes_the_same_files(
    make_videos: MakeVideos, tmp_path: Path, amcnet_onnx: Path, at_random: bool
) -> None:
    make_videos("a", "day/b", "c", frames=40 if at_random else 12)
    make_videos("d", frames=1)
    killed, whole = tmp_path / "killed", tmp_path / "whole"

    def start(out: Path) -> subprocess.Popen[str]:
        write = ("--write", "masks,probabilities,overlay")
        return _start(tmp_path / "videos", "-o", out, "--amcnet", amcnet_onnx, *write, "--jobs", 2)

    begin = time.monotonic()
    process = start(whole)
    assert process.communicate() is not None
    assert process.returncode == 0
    kills = 0
    for moment in _random_moments(time.monotonic() - begin) if at_random else _moments_by_masks(killed):
        process = start(killed)
        try:
            while not moment() and process.poll() is None:
                time.sleep(0.005)
            kills += process.poll() is None
        finally:
            _kill(process)
    assert kills > 0
    process = start(killed)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert _results(killed) == _results(whole)


# --- bundled network


def test_the_bundled_network_is_used_without_options(run: Run, make_videos: MakeVideos) -> None:
    make_videos("a", frames=2)
    assert run("videos", "-o", "out", "--precision", "fp32")[0] == 0
    used = json.loads(Path("out/a/run.json").read_text())["settings"]["files"]["amcnet"]
    assert used["name"] == DEFAULT_AMCNET.name
    status, _, err = run("videos", "-o", "out", "--precision", "fp32", "--model", "base")
    assert status == 2
    assert "other settings" in err
    assert run("videos", "-o", "out", "--precision", "fp32", "--model", "base", "--overwrite")[0] == 0
    assert json.loads(Path("out/a/run.json").read_text())["settings"]["model"] == "base"
