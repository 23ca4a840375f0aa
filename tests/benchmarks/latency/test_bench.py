"""amc-bench: its measurements, its output, and the HTML page in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from onnx import helper, numpy_helper, parser, save_model

from amcnet.benchmarks.demo_clip import write_clip
from amcnet.benchmarks.latency import cli, scaling
from amcnet.benchmarks.latency.baselines import BASELINES, OTHER_PRECISION
from amcnet.benchmarks.latency.bench import bench, bundled_files
from amcnet.benchmarks.latency.cli import write_report
from amcnet.benchmarks.latency.latency import MeasureOptions
from amcnet.benchmarks.latency.options import BenchOptions
from amcnet.benchmarks.latency.report_html import report_page
from amcnet.benchmarks.latency.report_markdown import report_markdown
from amcnet.benchmarks.latency.subject import computes_bf16
from amcnet.runtime.errors import InputError
from amcnet.runtime.files import onnx_file
from amcnet.runtime.files.onnx_file import OnnxFile
from amcnet.runtime.infer import InferOptions
from amcnet.runtime.preprocessing.spec import pwcnet
from amcnet.runtime.segmenter import DEFAULT_AMCNET

QUICK = MeasureOptions(runs=8, seconds=2, rounds=4, warm_up_seconds=0.2)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A report of the bundled network on a short clip."""
    clip = tmp_path_factory.mktemp("bench") / "clip.mp4"
    write_clip(clip, 16)
    return bench(BenchOptions(video=clip, measure=QUICK))


@pytest.fixture
def rich(report: dict[str, Any]) -> dict[str, Any]:
    """A report with every optional part, with invented values."""
    made: dict[str, Any] = json.loads(json.dumps(report))
    network = made["networks"][0]
    del network["rows"][1:]
    ratio = {"ratio": 1.5, "ratio_min": 1.4, "ratio_max": 1.7}
    network["rows"].append(
        network["rows"][0]
        | {"runtime": "A <baseline> & co", "is_baseline": True, "stable": False, "ratio_to_amcnet": ratio}
    )
    for row, warnings in zip(network["rows"], ([], ["the medians of the rounds differ by 12%"]), strict=True):
        row["latency"] = row["latency"] | {"warnings": warnings}
    network["not_measured"] = {"Another": "not installed: pip install another"}
    network["fidelity"] = {"onnx": {"iou": {"mean": 0.9961}}}
    made["stability"]["warnings"] = ["other processes used 74% of the CPU time"]
    made["frame"]["joules_per_frame"] = 0.4321
    made["notes"] = ["a note"]
    made["scaling"] = {
        "resolutions": [{"size": [426 * k, 240 * k], "ms_per_frame": 20.0 * k * k} for k in (1, 2, 3, 9)],
        "batches": [{"batch": 1, "ms_per_image": 20.0}, {"batch": 4, "ms_per_image": 15.0}],
        "lengths": [{"frames": 24 * k, "resident_mib": 300.0} for k in (1, 2, 4)],
        "videos": [{"videos": k, "frames_per_second": 24.0, "startup_seconds": 0.5 * k} for k in (1, 2, 4)],
        "warnings": ["the clock changed from 3000 to 2000 MHz"],
    }
    return made


def test_a_report_has_all_parts(report: dict[str, Any]) -> None:
    assert [network["name"] for network in report["networks"]] == [path.name for path in bundled_files("light")]
    network = report["networks"][0]
    row = network["rows"][0]
    assert (network["name"], network["size"], network["trained"]) == ("amcnet-light.onnx", [256, 256], True)
    assert row["latency"]["runs"] == 8
    assert [len(samples) for samples in row["latency"]["rounds_ms"]] == [2, 2, 2, 2]
    # The achieved FLOP/s follow from the median and the counts, and cannot exceed the measured peak by much.
    assert row["achieved"]["flops_per_second"] == pytest.approx(
        network["cost"]["flops"] / row["latency"]["p50_ms"] * 1e3, rel=1e-3
    )
    assert 0 < row["achieved"]["share_of_compute"] < 1.5
    assert row["target"]["same_network"] is False
    assert report["frame"]["flow"] == "dis"
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    bf16 = [other for other in network["rows"] if "BF16" in other["runtime"]]
    assert len(bf16) == computes_bf16(OnnxFile.read(DEFAULT_AMCNET), "cpu")
    assert not any("achieved" in other or other["is_baseline"] for other in bf16)  # the FP32 peak does not bound it
    assert (row["latency"]["p95_ms"], row["latency"]["p99_ms"]) == (None, None)  # of 8 runs
    assert report["stability"]["noise"]["score"] > 0
    assert "Noise score before the measurement: " in report_markdown(report)


def test_the_files_of_the_model_are_measured() -> None:
    assert [path.name for path in bundled_files("base")] == ["amcnet-base.onnx", "amcnet-base.int8.onnx"]
    with pytest.raises(InputError, match=r"^model base was given, and files to measure\. Fix: leave out --model$"):
        bench(BenchOptions(files=(DEFAULT_AMCNET,), model="base"))


def test_the_command_writes_three_files_and_compares_two_reports(
    tmp_path: Path, report: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "bench", lambda options, progress, on_warning: report)
    monkeypatch.setattr(sys, "argv", ["amc-bench", "-o", str(tmp_path / "a")])
    assert cli.main() == 0
    printed = capsys.readouterr().out
    assert "amcnet-light.onnx at 256x256: " in printed
    assert "not comparable with the paper's 57 ms per frame on a GTX 1080 Ti: this network has 1." in printed
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["index.html", "report.json", "report.md"]

    # The values measured here are noisy; the compared ones are not.
    steady = json.loads((tmp_path / "a" / "report.json").read_text())
    rows = [row for network in steady["networks"] for row in network["rows"]]
    for latency in (*(row["latency"] for row in rows), steady["frame"]["latency"], steady["reference"]):
        latency["rounds_ms"] = [[10.0, 10.1]] * 4
    (tmp_path / "a" / "report.json").write_text(json.dumps(steady))
    rows[0]["latency"]["rounds_ms"] = [[30.0, 30.3]] * 4
    (tmp_path / "b.json").write_text(json.dumps(steady))
    a, b = str(tmp_path / "a" / "report.json"), str(tmp_path / "b.json")
    for arguments, status in (([a, a], 0), ([a, b], 1), ([b, a], 0), ([a, b, "--tolerance", "9"], 0), ([a, "none"], 2)):
        monkeypatch.setattr(sys, "argv", ["amc-bench", "compare", *arguments])
        assert cli.main() == status, arguments
    assert "REGRESSION" in capsys.readouterr().out


def _tiny_pwcnet(path: Path) -> Path:
    """A "PWC-Net" for 128x64: one convolution of 4x4 over what changed."""
    model = parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        tiny (float[1,3,64,128] frame, float[1,3,64,128] next_frame, float[2,3,4,4] w) => (float[1,2,16,32] flow)
        { growth = Sub (next_frame, frame)  flow = Conv <strides = [4, 4]> (growth, w) }"""
    )
    model.graph.initializer.append(numpy_helper.from_array(np.ones((2, 3, 4, 4), np.float32), "w"))
    del model.graph.input[2]
    keys = (onnx_file.MODEL, onnx_file.CHECKPOINT_SHA256, onnx_file.PRECISION, onnx_file.PREPROCESSING)
    values = ("pwcnet", "ab" * 32, "fp32", pwcnet((128, 64)).to_json())
    helper.set_model_props(model, dict(zip(keys, values, strict=True)) | {onnx_file.TOOL_VERSION: "0"})
    save_model(model, path)
    return path


@pytest.mark.slow
def test_files_of_equal_names_are_named_with_their_folders(tmp_path: Path) -> None:
    files = []
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        files.append(_tiny_pwcnet(tmp_path / folder / "pwcnet.onnx"))
    write_clip(tmp_path / "clip.mp4", 3)
    steps: list[str] = []
    left: list[float] = []

    def progress(text: str, left_s: float | None = None) -> None:
        steps.append(text)
        left.extend([] if left_s is None else [left_s])

    made = bench(BenchOptions(files=tuple(files), video=tmp_path / "clip.mp4", measure=QUICK), progress)
    assert [network["name"] for network in made["networks"]] == ["old/pwcnet.onnx", "new/pwcnet.onnx"]
    measured = [step.split(":")[0].removeprefix("measuring ") for step in steps if ": " in step and "measuring" in step]
    rows = 1 + computes_bf16(OnnxFile.read(files[0]), "cpu")
    forward = ["reference", *["old/pwcnet.onnx"] * rows, *["new/pwcnet.onnx"] * rows]
    back = forward[::-1]
    assert measured == [*forward, *forward, *back, *forward, *back]  # warm-up, then four rounds
    assert all(later <= earlier for earlier, later in pairwise(left[3:]))  # after the warm-up
    assert made["frame"] is None  # without an AMC-Net there are no masks
    # The tiny network is one convolution of 4x4 over 3 channels, (2, 16, 32) in the end, behind a subtraction.
    assert made["networks"][0]["cost"]["flops"] == 2 * (2 * 16 * 32) * (3 * 4 * 4)


@pytest.mark.slow
def test_a_baseline_in_another_precision_has_no_share_of_the_peak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (other,) = OTHER_PRECISION & set(BASELINES["cpu"])

    def opener(file: Any, checkpoint: Path | None) -> Callable[..., Any]:
        return lambda inputs: np.zeros(1)

    monkeypatch.setitem(BASELINES, "cpu", {other: opener, "fast": opener})
    write_clip(tmp_path / "clip.mp4", 3)
    files = (_tiny_pwcnet(tmp_path / "pwcnet.onnx"),)
    made = bench(BenchOptions(files=files, video=tmp_path / "clip.mp4", baselines=True, measure=QUICK))
    rows = made["networks"][0]["rows"]
    own = 1 + computes_bf16(OnnxFile.read(files[0]), "cpu")
    assert [row["is_baseline"] for row in rows] == [False] * own + [True, True]
    assert ["achieved" in row for row in rows] == [True, *[False] * (own - 1), False, True]


def test_markdown_marks_unstable_rows(rich: dict[str, Any]) -> None:
    text = report_markdown(rich)
    assert "**Unstable measurement:** other processes used 74% of the CPU time." in text
    assert "| A <baseline> & co (unstable) |" in text
    assert "**Unstable:** A <baseline> & co: the medians of the rounds differ by 12%." in text
    assert "1.50 (1.40 to 1.70)" in text
    assert "% | 0.43 |\n" in text  # J per frame
    rich["frame"]["joules_per_frame"] = None
    assert "% |  |\n" in report_markdown(rich)
    assert "- Another: not measured; not installed: pip install another" in text


class _Balance(HTMLParser):
    """Notes elements that are not closed in order, and what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
        self.fetched += [value or "" for name, value in attributes if name in ("src", "href") and value != "data:,"]

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_escaped_and_self_contained(rich: dict[str, Any]) -> None:
    text = report_page(rich)
    page = _Balance()
    page.feed(text)
    assert page.open == []
    assert page.fetched == []
    assert "A &lt;baseline&gt; &amp; co" in text
    assert "<td>0.43</td>" in text
    assert "<baseline>" not in text
    assert "Unstable measurement:" in text
    assert "A &lt;baseline&gt; &amp; co: the medians of the rounds differ by 12%" in text
    assert "0.9961" in text


@pytest.fixture(scope="session")
def chromium() -> str:
    found = next((path for name in ("chromium", "google-chrome", "chrome") if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    return found


@pytest.mark.parametrize("width", [500, 1100])  # the narrowest window that headless Chromium opens, and a desk's
def test_a_browser_shows_it_without_errors(rich: dict[str, Any], tmp_path: Path, chromium: str, width: int) -> None:
    write_report(rich, tmp_path)
    screenshot = tmp_path / "page.png"
    result = subprocess.run(
        [
            chromium,
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--hide-scrollbars"),
            *("--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}"),
            *(f"--window-size={width},1600", f"--screenshot={screenshot}"),
            (tmp_path / "index.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not re.findall(r"CONSOLE.*", result.stderr)
    pixels = cv2.imread(str(screenshot))
    assert pixels is not None
    assert pixels.shape[1] == width
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20  # not an empty page
    # Nothing sticks out to the right: the last columns are paper throughout.
    assert len(np.unique(pixels[:, -6:].reshape(-1, 3), axis=0)) == 1


@pytest.mark.slow
def test_scaling_over_sizes_batches_lengths_and_videos_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "RESOLUTIONS", ((96, 64), (192, 128)))
    monkeypatch.setattr(scaling, "BATCHES", (1, 2))
    monkeypatch.setattr(scaling, "LENGTHS", (4, 8))
    monkeypatch.setattr(scaling, "VIDEOS", (1, 2))
    grown = scaling.measure_scaling(DEFAULT_AMCNET)
    assert [row["size"] for row in grown["resolutions"]] == [[96, 64], [192, 128]]
    assert grown["batches"][0]["ms_per_image"] > 0
    assert grown["batches"][1]["ms_per_image"] is None  # the bundled network has the batch size 1
    assert [row["frames"] for row in grown["lengths"]] == [4, 8]
    assert all(row["resident_mib"] > 50 for row in grown["lengths"])
    assert all(row["frames_per_second"] > 0 for row in grown["videos"])
    assert all(row["startup_seconds"] > 0 for row in grown["videos"])


class _Clocks(threading.local):
    """A clock for each thread, of which `run` is one video: its start-up, then frames of even length."""

    now_s = 0.0

    def perf_counter(self) -> float:
        return self.now_s

    def run(self, startup_s: float, frame_s: float, frames: int, progress: Callable[..., None]) -> dict[str, int]:
        self.now_s += startup_s
        for number in range(1, frames + 1):
            self.now_s += frame_s
            progress(None, number)
        return {"frames": frames}


def test_parallel_videos_are_measured_without_their_start_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clocks, videos = _Clocks(), {"out0": (30.0, 0.1), "out1": (50.0, 0.2)}
    monkeypatch.setattr(scaling, "time", clocks)
    monkeypatch.setattr(
        scaling, "infer", lambda options, progress: clocks.run(*videos[options.output.name], options.frames, progress)
    )
    network = InferOptions(source="", output="")
    assert scaling._videos(network, tmp_path, 1) == {"videos": 1, "frames_per_second": 10.0, "startup_seconds": 30.1}
    assert scaling._videos(network, tmp_path, 2) == {"videos": 2, "frames_per_second": 15.0, "startup_seconds": 50.2}


def test_frames_that_are_complete_before_the_timing_starts_do_not_count() -> None:
    ready = [5.0] * 9
    assert scaling.steady_rate([*ready, *(5 + k / 10 for k in range(1, 51))]) == pytest.approx(10)
    assert scaling.steady_rate([1.0, 1.5]) == 2


@pytest.mark.parametrize("failing", ["out0", "out1"])
def test_a_video_that_fails_ends_the_others(failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def infer(options: Any, progress: Callable[..., None]) -> dict[str, int]:
        if options.output.name == failing:
            raise InputError("gone")
        progress(None, 1)
        return {}

    monkeypatch.setattr(scaling, "infer", infer)
    with pytest.raises(InputError, match="gone"):
        scaling._videos(InferOptions(source="", output=""), tmp_path, 2)


@pytest.mark.slow
def test_an_engine_is_measured_on_a_fake_gpu(
    on_fake_gpu: Callable[..., subprocess.CompletedProcess[str]],
    make_engine: Callable[..., Path],
    amcnet_onnx: Path,
    tmp_path: Path,
) -> None:
    shutil.copy(amcnet_onnx, tmp_path / "amcnet.onnx")
    card = {"onnx_sha256": onnx_file.file_sha256(amcnet_onnx), "accuracy": {"engine": {"mean_iou": 0.999}}}
    make_engine(tmp_path / "amcnet.engine", "amcnet", card=card)
    make_engine(tmp_path / "pwcnet.engine", "pwcnet")
    write_clip(tmp_path / "clip.mp4", 12)
    code = """
import json, pathlib, sys
from amcnet.benchmarks.latency.bench import bench
from amcnet.benchmarks.latency.cli import write_report
from amcnet.benchmarks.latency.latency import MeasureOptions
from amcnet.benchmarks.latency.options import BenchOptions
folder = pathlib.Path(sys.argv[1])
measure = MeasureOptions(runs=4, seconds=1, rounds=2, warm_up_seconds=0)
files = (folder / "amcnet.engine", folder / "pwcnet.engine")
write_report(bench(BenchOptions(files=files, video=folder / "clip.mp4", measure=measure)), folder)
"""
    log = tmp_path / "log"
    result = on_fake_gpu(code, tmp_path, FAKE_CUDA_LOG=log)
    assert result.returncode == 0, result.stderr
    deserialized = [line for line in log.read_text().splitlines() if " deserialized " in line]
    assert len(deserialized) == 2, "each engine once: for calls, for stages and for whole frames"
    made = json.loads((tmp_path / "report.json").read_text())
    network = made["networks"][0]
    assert network["rows"][0]["runtime"].startswith("TensorRT 10.16.1.11 on NVIDIA Made-up GPU")
    assert list(network["rows"][0]["gpu_ms"]) == ["upload", "network", "download"]
    assert "achieved" not in network["rows"][0]  # the peaks are those of the CPU, unless --device cuda is given
    assert network["fidelity"] == {"engine": {"mean_iou": 0.999}}
    assert network["cost"]["bytes"] > 0
    assert (made["frame"]["amcnet"], made["frame"]["flow"]) == ("amcnet.engine", "pwcnet.engine")
    assert "Time on the GPU: upload" in (tmp_path / "index.html").read_text()
