"""Whole batches in worker processes: results, failures, resuming."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from amcnet.runtime.batch.batch import BatchResult, run_batch
from amcnet.runtime.batch.options import BatchOptions
from amcnet.runtime.batch.shard import Shard
from amcnet.runtime.batch.worker_process import WorkerProcess
from amcnet.runtime.errors import BackendError, InputError, OutputError
from amcnet.runtime.files.folder_lock import locked_folder
from amcnet.runtime.infer import InferOptions, infer

Options = Callable[..., BatchOptions]
MakeVideos = Callable[..., None]
WITH_PROBABILITIES = ("masks", "probabilities", "overlay")


def _status(folder: Path, relative: str) -> dict[str, Any]:
    status: dict[str, Any] = json.loads((folder / "status" / f"{relative}.json").read_text())
    return status


def _rows(folder: Path, name: str = "summary.csv") -> dict[str, dict[str, str]]:
    with (folder / name).open(newline="") as table:
        return {row["video"]: row for row in csv.DictReader(table)}


@pytest.fixture(autouse=True)
def _csv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amcnet.runtime.batch.summary.is_installed", lambda module: False)


def test_the_outputs_equal_those_of_amc_infer(
    options: Options, make_videos: MakeVideos, tmp_path: Path, amcnet_onnx: Path
) -> None:
    make_videos("day1/a", "b")
    result = run_batch(options(infer={"threshold": 0.4, "write": WITH_PROBABILITIES}))
    assert (result.done, result.earlier, result.failed, result.left) == (2, 0, [], 0)
    out = tmp_path / "out"
    for relative in ("day1/a", "b"):
        alone = tmp_path / "alone" / relative
        source = tmp_path / "videos" / f"{relative}.mp4"
        own = {"threshold": 0.4, "write": WITH_PROBABILITIES}
        infer(InferOptions(source=source, output=alone, amcnet=amcnet_onnx, **own))
        for path in (path for path in alone.rglob("*") if path.is_file() and path.name != "run.json"):
            assert (out / relative / path.relative_to(alone)).read_bytes() == path.read_bytes(), path
        ours, theirs = (
            json.loads((folder / relative / "run.json").read_text()) for folder in (out, tmp_path / "alone")
        )
        assert ours["settings"] == theirs["settings"]
        status = _status(out, f"{relative}.mp4")
        assert (status["state"], status["frames"], status["attempts"]) == ("done", 4, 1)
        assert (status["source_bytes"], status["source_mtime_ns"]) == (
            source.stat().st_size,
            source.stat().st_mtime_ns,
        )
        assert [(image["name"], image["frame"]) for image in status["images"][:2]] == [("first", 0), ("middle", 2)]
    assert {path.name for path in out.iterdir()} == {"day1", "b", "status", "summary.csv", "summary.html"}
    rows = _rows(out)
    assert {relative: row["state"] for relative, row in rows.items()} == {"b.mp4": "done", "day1/a.mp4": "done"}
    page = (out / "summary.html").read_text()
    assert "2 videos: 2 done; 8 frames." in page
    assert page.count("data:image/png;base64,") == 6


def test_all_kinds_of_output_are_written(options: Options, make_videos: MakeVideos, tmp_path: Path) -> None:
    make_videos("a")
    result = run_batch(options(infer={"write": ("alpha-png", "boxes")}, jobs=1))
    assert (result.done, result.failed) == (1, [])
    assert {path.name for path in (tmp_path / "out" / "a").iterdir()} == {"alpha-png", "boxes.csv", "run.json"}
    assert _status(tmp_path / "out", "a.mp4")["images"] == []


def test_images_keep_their_names(options: Options, tmp_path: Path) -> None:
    (tmp_path / "videos" / "shot").mkdir(parents=True)
    for number in (3, 5):
        cv2.imwrite(str(tmp_path / "videos" / "shot" / f"f{number}.jpg"), np.zeros((32, 48, 3), np.uint8))
    result = run_batch(options(infer={"names": "source"}, image_folders=True, jobs=1))
    assert (result.done, result.failed) == (1, [])
    assert {path.name for path in (tmp_path / "out" / "shot" / "masks").iterdir()} == {"f3.png", "f5.png"}


@pytest.mark.parametrize(
    ("infer", "says"),
    [
        ({"write": ("mask",)}, "write: got 'mask'"),
        ({"write": ("background",), "background": "gone.png"}, "background: gone"),
        ({"write": ("matte",), "soft_edges": (0.6, 0.8)}, "soft edges: got"),
        ({"threshold": 1.5}, "threshold is"),
    ],
)
def test_wrong_outputs_are_refused_before_a_video_is_begun(
    options: Options, make_videos: MakeVideos, tmp_path: Path, infer: dict[str, Any], says: str
) -> None:
    make_videos("a")
    with pytest.raises(InputError, match=says):
        run_batch(options(infer=infer))
    assert not (tmp_path / "out").exists()


def test_a_failed_video_does_not_end_the_others(
    options: Options,
    make_videos: MakeVideos,
    faulty_segment: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_videos("a", "crash", "hang", "bug", "z")
    (tmp_path / "videos" / "broken.mp4").write_text("no video")

    def hangs(worker: WorkerProcess) -> float:
        """As soon as it does: a limit in seconds would depend on the machine."""
        return float(worker.task is not None and "hang" in worker.task.video.source and worker.frames > 0)

    monkeypatch.setattr(WorkerProcess, "busy_seconds", property(hangs))
    result = run_batch(options(jobs=2, timeout=0.5, retries=0), segment=faulty_segment)
    assert result.done == 2
    out, said, messages = tmp_path / "out", capsys.readouterr().err, dict(result.failed)
    assert messages.keys() == {"crash.mp4", "hang.mp4", "bug.mp4", "broken.mp4"}
    assert messages["crash.mp4"].startswith("its process ended by SIGSEGV after frame ")
    assert messages["hang.mp4"].startswith("not done after 0.5 s (--timeout), at frame ")
    assert messages["bug.mp4"] == "unexpected RuntimeError: a mistake in the code"
    assert "broken.mp4: the video cannot be opened" in messages["broken.mp4"]
    for relative, message in messages.items():
        status = _status(out, relative)
        assert (status["state"], status["message"], status["attempts"]) == ("failed", message, 1)
        assert f"failed: {relative}: {message}\n" in said
        assert _rows(out)[relative]["message"] == message
    assert "6 videos: 2 done, 4 failed; 8 frames." in (out / "summary.html").read_text()


def test_a_failed_video_is_tried_again_after_the_others(
    options: Options, make_videos: MakeVideos, faulty_segment: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_videos("once", "z")
    result = run_batch(options(jobs=1), segment=faulty_segment)
    assert (result.done, result.failed) == (2, [])
    assert capsys.readouterr().err.count("; it will be tried again\n") == 1
    out = tmp_path / "out"
    assert [_status(out, f"{name}.mp4")["attempts"] for name in ("once", "z")] == [2, 1]
    assert len(list((out / "once" / "masks").iterdir())) == 4
    times = [(out / name / "run.json").stat().st_mtime_ns for name in ("z", "once")]
    assert times == sorted(times)


def test_failures_of_the_network_end_the_batch(
    options: Options, make_videos: MakeVideos, faulty_segment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of 100,000 videos would start a process."""
    make_videos("gpu-1", "gpu-2", "gpu-3")
    monkeypatch.setattr("amcnet.runtime.batch.scheduler._IN_A_ROW", 2)
    with pytest.raises(BackendError, match=r"^2 videos in a row failed by .*; the last one is: the GPU has failed$"):
        run_batch(options(jobs=1, retries=0), segment=faulty_segment)


def test_finished_videos_are_skipped(options: Options, make_videos: MakeVideos, tmp_path: Path) -> None:
    make_videos("a", "b", "c")
    broken, out = tmp_path / "videos" / "broken.mp4", tmp_path / "out"
    broken.write_text("no video")
    first = run_batch(options(retries=0, limit=3))
    assert (first.done, first.left, [relative for relative, _ in first.failed]) == (2, 1, ["broken.mp4"])
    assert _rows(out)["c.mp4"]["state"] == "waiting"
    masks = {path: path.stat().st_mtime_ns for path in out.rglob("masks/*.png")}
    second = run_batch(options(retries=0))
    assert (second.done, second.earlier, [relative for relative, _ in second.failed]) == (1, 2, ["broken.mp4"])
    assert _status(out, "broken.mp4")["attempts"] == 1, "failures are repeated only with retry_failed"
    assert {path: path.stat().st_mtime_ns for path in masks} == masks

    changed = tmp_path / "videos" / "a.mp4"
    os.utime(changed, ns=(1, 1))
    shutil.copy(changed, broken)
    third = run_batch(options(retries=0))  # both sources have changed
    assert (third.done, third.earlier, third.failed) == (2, 2, [])
    assert _status(out, "broken.mp4")["attempts"] == 1


def test_failures_are_repeated_on_request(
    options: Options, make_videos: MakeVideos, faulty_segment: Any, tmp_path: Path
) -> None:
    make_videos("once")
    assert run_batch(options(retries=0), segment=faulty_segment).failed
    assert run_batch(options(retries=0), segment=faulty_segment).failed
    result = run_batch(options(retries=0, retry_failed=True), segment=faulty_segment)
    assert (result.done, result.failed) == (1, [])
    assert _status(tmp_path / "out", "once.mp4")["attempts"] == 2


def test_other_settings_are_refused_unless_overwritten(
    options: Options, make_videos: MakeVideos, tmp_path: Path
) -> None:
    make_videos("a")
    run_batch(options())
    out = tmp_path / "out"
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    message = r"out holds 1 results with other settings, the first of them a; .*replace them by --overwrite"
    with pytest.raises(OutputError, match=message):
        run_batch(options(infer={"write": WITH_PROBABILITIES}))
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert run_batch(options(infer={"write": WITH_PROBABILITIES}, overwrite=True)).done == 1
    assert len(list((out / "a" / "probabilities").iterdir())) == 4
    assert _status(out, "a.mp4")["replaces"] is False


def test_a_replacement_that_never_began_is_not_resumed(
    options: Options, make_videos: MakeVideos, tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    """Killed before its first mask, while the folder still holds the complete run of a source of the same size."""
    make_videos("a")
    run_batch(options())
    source, out = tmp_path / "videos" / "a.mp4", tmp_path / "out"
    old = (out / "a" / "masks" / "00003.png").read_bytes()
    status = _status(out, "a.mp4")
    other = make_clip(tmp_path / "other.mp4", frames=4, moving=False).read_bytes()
    source.write_bytes(other + _free_box(status["source_bytes"] - len(other)))
    stat = source.stat()
    assert stat.st_size == status["source_bytes"], "run.json alone would not show the difference"
    status |= {"state": "running", "replaces": True, "source_mtime_ns": stat.st_mtime_ns}
    (out / "status" / "a.mp4.json").write_text(json.dumps(status))
    assert run_batch(options()).done == 1
    assert (out / "a" / "masks" / "00003.png").read_bytes() != old


def _free_box(size: int) -> bytes:
    """Bytes that an MP4 reader passes over."""
    return size.to_bytes(4, "big") + b"free" + bytes(size - 8)


def test_shards_share_a_folder(options: Options, make_videos: MakeVideos, tmp_path: Path) -> None:
    make_videos(*"abcde")
    results: list[BatchResult] = [run_batch(options(shard=Shard(index, 2))) for index in range(2)]
    assert sum(result.done for result in results) == 5
    rows = [_rows(tmp_path / "out", f"summary.{index}-of-2.csv") for index in range(2)]
    assert not rows[0].keys() & rows[1].keys()
    assert len(rows[0] | rows[1]) == 5
    whole = run_batch(options())
    assert (whole.done, whole.earlier) == (0, 5)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no flock")
def test_a_second_batch_on_one_folder_is_refused(options: Options, make_videos: MakeVideos, tmp_path: Path) -> None:
    make_videos("a")
    with locked_folder(tmp_path / "out" / ".lock.1-of-2"):
        assert run_batch(options(shard=Shard(0, 2), limit=1)).failed == []
        with pytest.raises(OutputError, match=r"out is in use by process \d+ on "):
            run_batch(options(shard=Shard(1, 2)))


def test_an_empty_shard_ends_without_an_error(options: Options, make_videos: MakeVideos, tmp_path: Path) -> None:
    make_videos("a")
    results = [run_batch(options(shard=Shard(index, 50), limit=1)) for index in range(50)]
    assert sum(result.done for result in results) == 1
    assert not any(result.failed for result in results)


def test_folders_of_images_are_segmented_as_clips(
    options: Options, tmp_path: Path, clip_picture: Callable[..., Any]
) -> None:
    import cv2

    for name in ("one", "two"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for index in range(3):
            cv2.imwrite(str(tmp_path / "videos" / name / f"{index}.png"), clip_picture(index, (32, 24)))
    assert run_batch(options(image_folders=True)).done == 2
    assert len(list((tmp_path / "out" / "one" / "masks").iterdir())) == 3
    assert run_batch(options(image_folders=True)).earlier == 2
    cv2.imwrite(str(tmp_path / "videos" / "two" / "3.png"), clip_picture(3, (32, 24)))
    result = run_batch(options(image_folders=True))
    assert (result.done, result.earlier) == (1, 1)
    assert len(list((tmp_path / "out" / "two" / "masks").iterdir())) == 4


def test_a_missing_video_of_a_list_fails_alone(options: Options, make_videos: MakeVideos, tmp_path: Path) -> None:
    make_videos("a")
    (tmp_path / "list.txt").write_text("videos/a.mp4\nvideos/gone.mp4\n")
    result = run_batch(options(sources=(str(tmp_path / "list.txt"),), retries=0))
    assert result.done == 1
    ((relative, message),) = result.failed
    assert relative == "videos/gone.mp4"
    assert "there is no such file or folder" in message


def test_a_network_that_cannot_be_loaded_is_a_single_error(
    options: Options, make_videos: MakeVideos, tmp_path: Path, amcnet_onnx: Path
) -> None:
    make_videos("a", "b")
    network = tmp_path / "cut.onnx"
    network.write_bytes(_with_an_unknown_operator(amcnet_onnx))
    with pytest.raises(BackendError, match=r"cut\.onnx"):
        run_batch(options(infer={"amcnet": network}, jobs=2))
    assert not (tmp_path / "out" / "a").exists()


def _with_an_unknown_operator(network: Path) -> bytes:
    return network.read_bytes().replace(b"Sigmoid", b"Sigmund")


def test_wrong_options_write_nothing(options: Options, make_videos: MakeVideos, tmp_path: Path) -> None:
    make_videos("a")
    with pytest.raises(InputError, match="threshold is 2"):
        run_batch(options(infer={"threshold": 2}))
    with pytest.raises(InputError, match="is a folder, which holds the flow of one video"):
        options(infer={"flow": tmp_path})
    with pytest.raises(InputError, match="no sources were given"):
        options(sources=())
    with pytest.raises(InputError, match=r"^https://host/out: a web server takes no files; expected a folder or"):
        options(output="https://host/out")
    assert not (tmp_path / "out").exists()


def test_an_unwritable_output_is_refused(options: Options, make_videos: MakeVideos, tmp_path: Path) -> None:
    make_videos("a")
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot write .*out: Not a directory"):
        run_batch(options())
