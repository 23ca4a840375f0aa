"""Parts of a batch: progress, summary, status files, distribution of processors."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from masks import write_mask

from amcnet.runtime.batch import progress as progress_module
from amcnet.runtime.batch import summary as summary_module
from amcnet.runtime.batch.default_jobs import default_jobs
from amcnet.runtime.batch.layout import Layout
from amcnet.runtime.batch.mask_samples import mask_samples
from amcnet.runtime.batch.progress import BatchProgress
from amcnet.runtime.batch.status import Key, Status, remove_unfinished
from amcnet.runtime.batch.summary import Summary
from amcnet.runtime.batch.video import Video
from amcnet.runtime.batch.worker_process import share_out
from amcnet.runtime.machine_info import available_cores

A, B = Video("/v/a.mp4", "a.mp4", "a"), Video("/v/b.mp4", "b.mp4", "b")


# --- progress


def test_progress_without_a_terminal_is_printed_as_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([100.0, 105.0, 110.0, 112.0, 120.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    progress = BatchProgress()
    progress.begin(4, 0, 0)
    progress.frames(A, 1, 100)
    progress.frames(A, 50, 100)
    progress.frames(A, 100, 100)  # after 10 s
    progress.failed(B, "broken", for_good=True)
    progress.finished(A, 100)
    progress.close()
    assert capsys.readouterr().err.splitlines() == [
        "0/4 videos, 100 frames, 10.0 frames/s, 30 s left, 0 failed",
        "failed: b.mp4: broken",
        "2/4 videos, 100 frames, 5.0 frames/s, 20 s left, 1 failed",
    ]


def test_progress_on_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = BatchProgress()
    progress.begin(2, 3, 1)
    progress.frames(A, 5, 10)
    progress.failed(A, "broken", for_good=True)
    progress.finished(B, 7)
    progress.close()
    shown = terminal.getvalue()
    assert "2 videos to do; in an earlier run 3 were done and 1 failed (--retry-failed)\n" in shown
    assert "failed: a.mp4: broken\n" in shown
    assert "100%" in shown
    assert "2.0/2 videos" in shown
    assert "12 frames" in shown
    assert "1 failed" in shown


# --- status files


def _status(video: Video, state: str = "done", message: str = "") -> Status:
    return Status(
        state=state,
        key=Key("ab", 5, 7),
        source=video.source,
        output=video.output,
        attempts=1,
        message=message,
        frames=3,
        seconds=0.5,
        images=[{"name": "first", "frame": 0, "png": "AAAA"}],
    )


def test_a_status_file_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ä\udcff.mp4.json"
    _status(A).write(path)
    assert Status.read(path) == _status(A)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": 0}', '{"schema": 1, "state": "done"}', "\x00"])
def test_a_status_file_that_is_not_understood_is_ignored(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    assert Status.read(tmp_path / "a.json") is None
    assert Status.read(tmp_path / "gone.json") is None


def test_only_own_unfinished_files_are_removed(tmp_path: Path) -> None:
    names = ["day/.a.mp4.json.17.part", "day/.b.mp4.json.17.part", "day/a.mp4.json", "day/.a.mp4.json.part"]
    (tmp_path / "day").mkdir()
    for name in names:
        (tmp_path / name).touch()
    remove_unfinished(tmp_path, {str(tmp_path / "day" / "a.mp4.json")})
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")} == set(names[1:])


def test_unfinished_summaries_of_other_shards_are_kept(tmp_path: Path) -> None:
    names = [".summary.csv.17.part", ".summary.parquet.17.part", ".summary.0-of-2.csv.17.part", "a.17.part"]
    for name in names:
        (tmp_path / name).touch()
    Summary([A], Layout(tmp_path)).remove_unfinished()
    assert {path.name for path in tmp_path.iterdir()} == set(names[2:])


def test_the_key_of_a_source(tmp_path: Path) -> None:
    assert Key.of(str(tmp_path / "gone"), "s") == Key("s", None, None)
    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "b").write_bytes(b"345")
    stats = [(tmp_path / name).stat() for name in "ab"]
    assert Key.of(str(tmp_path / "a"), "s") == Key("s", 2, stats[0].st_mtime_ns)
    assert Key.of(str(tmp_path), "s") == Key("s", 5, max(stat.st_mtime_ns for stat in stats))


# --- the summary


def test_the_page_is_escaped_and_lists_failures_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary_module, "is_installed", lambda module: False)
    layout, odd = Layout(tmp_path), Video("/v/<b>.mp4", "<b>&\udcff.mp4", "<b>")
    waiting = Video("/v/w.mp4", "w.mp4", "w")
    _status(A).write(layout.status(A))
    _status(odd, "failed", 'said "<no>", twice').write(layout.status(odd))
    Summary([A, waiting, odd], layout).write()
    page = (tmp_path / "summary.html").read_text()
    assert "3 videos: 1 done, 1 failed, 1 waiting; 6 frames." in page
    places = [page.index(name) for name in ("&lt;b&gt;&amp;?.mp4", "a.mp4", "w.mp4")]
    assert places == sorted(places)
    assert "said &quot;&lt;no&gt;&quot;, twice" in page
    assert "<b>" not in page
    assert not [word for word in ("http:", "https:", 'src="/') if word in page], "one file, no network"


def test_a_long_page_names_the_file_with_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary_module, "is_installed", lambda module: False)
    monkeypatch.setattr("amcnet.runtime.batch.summary_page._MOST_ROWS", 2)
    videos = [Video(f"/{place}", f"{place}.mp4", str(place)) for place in range(5)]
    Summary(videos, Layout(tmp_path)).write()
    page = (tmp_path / "summary.html").read_text()
    assert page.count("<tr><td>") == 2
    assert "The first 2 rows, failures first; all are in summary.csv." in page
    assert len((tmp_path / "summary.csv").read_text().splitlines()) == 6


def test_the_page_in_a_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_chromium: Callable[[], Any]
) -> None:
    monkeypatch.setattr(summary_module, "is_installed", lambda module: False)
    layout, videos = Layout(tmp_path), [Video(f"/{place}.mp4", f"{place}.mp4", str(place)) for place in range(250)]
    _status(videos[120], "failed", "broken").write(layout.status(videos[120]))
    _status(videos[7]).write(layout.status(videos[7]))
    Summary(videos, layout).write()
    chromium = open_chromium()
    chromium.open((tmp_path / "summary.html").as_uri())
    first = "[...document.querySelectorAll('tbody tr')].slice(0, 3).map(row => row.cells[0].textContent)"
    assert chromium.evaluate(first) == ["120.mp4", "0.mp4", "1.mp4"]
    chromium.click("th:nth-child(1) button")
    assert chromium.evaluate(first) == ["0.mp4", "1.mp4", "2.mp4"]
    chromium.click("th:nth-child(1) button")
    assert chromium.evaluate(first) == ["249.mp4", "248.mp4", "247.mp4"]
    chromium.click("th:nth-child(3) button")
    assert chromium.evaluate(first) == ["120.mp4", "7.mp4", "249.mp4"], "rows without a value come last"
    chromium.evaluate("scrollTo(0, document.body.scrollHeight)")
    chromium.wait("scrollTo(0, document.body.scrollHeight) || document.querySelectorAll('tbody tr').length === 250")
    chromium.evaluate("document.querySelector('input').value = 'BROKEN'")
    chromium.evaluate("document.querySelector('input').dispatchEvent(new Event('input'))")
    assert chromium.evaluate(first) == ["120.mp4"]
    chromium.resize(390, 800)
    assert chromium.evaluate("document.documentElement.scrollWidth") == 390
    assert chromium.requests == [(tmp_path / "summary.html").as_uri()]


def test_a_parquet_file_with_pyarrow(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install 'amcnet[batch]'")
    layout, odd = Layout(tmp_path), Video("/v/\udcff.mp4", "\udcff.mp4", "x")
    _status(A).write(layout.status(A))
    files = [str(tmp_path / name) for name in ("summary.parquet", "summary.html")]
    assert Summary([A, B, odd], layout).write() == files
    table = parquet.read_table(tmp_path / "summary.parquet")
    assert table.column_names == list(summary_module.COLUMNS)
    assert table.column("video").to_pylist() == ["a.mp4", "b.mp4", "\ufffd.mp4"]
    assert table.column("state").to_pylist() == ["done", "waiting", "waiting"]
    assert table.column("frames").to_pylist() == [3, None, None]


# --- images of masks


def test_the_worst_mask_is_the_one_that_jumps(tmp_path: Path) -> None:
    masks = []
    for index in range(9):
        mask = np.zeros((240, 320), bool)
        mask[40:140, 5 * index : 5 * index + 120] = True
        masks.append(write_mask(tmp_path, index, ~mask if index >= 6 else mask))
    samples = mask_samples(masks)
    assert [(sample["name"], sample["frame"]) for sample in samples] == [("first", 0), ("middle", 4), ("worst", 6)]
    small = cv2.imdecode(np.frombuffer(base64.b64decode(samples[0]["png"]), np.uint8), cv2.IMREAD_UNCHANGED)
    assert small is not None
    assert small.shape == (72, 96)
    assert abs(small.mean() / 255 - 100 * 120 / (240 * 320)) < 0.01
    assert json.dumps(samples)


def test_a_single_mask_is_shown_as_first_and_middle(tmp_path: Path) -> None:
    samples = mask_samples([write_mask(tmp_path, 0, np.ones((2, 2), bool))])
    assert [(sample["name"], sample["frame"]) for sample in samples] == [("first", 0), ("middle", 0)]


def test_a_change_of_size_is_no_jump(tmp_path: Path) -> None:
    masks = []
    for index, size in enumerate([(8, 8), (8, 8), (4, 6), (4, 6)]):
        mask = np.ones(size, bool)
        mask[0, 0] = index < 3
        masks.append(write_mask(tmp_path, index, mask))
    assert mask_samples(masks)[-1]["frame"] == 3


# --- processors


@pytest.mark.parametrize(("cores", "jobs"), [(1, 1), (2, 2), (8, 3), (16, 16)])
def test_processors_are_divided_among_processes(cores: int, jobs: int) -> None:
    shares = share_out(list(range(cores)), jobs)
    assert [core for share in shares for core in share] == list(range(cores))
    assert len(shares) == jobs
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_more_processes_than_processors_share_them() -> None:
    assert [list(share) for share in share_out([3, 5], 5)] == [[3], [5], [3], [5], [3]]


def test_the_number_of_processes_depends_on_cores_and_memory(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:  104857600 kB\n")
    assert default_jobs(on_gpu=False, meminfo=meminfo) == available_cores()
    assert default_jobs(on_gpu=True, meminfo=meminfo) == 1
    meminfo.write_text("MemAvailable:  100 kB\n")
    assert default_jobs(on_gpu=False, meminfo=meminfo) == 1
    assert default_jobs(on_gpu=False, meminfo=tmp_path / "gone") == available_cores()
