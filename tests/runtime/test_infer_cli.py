"""The command `amc-infer`: printed text, exit status, Ctrl-C, and imports."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from processes import wait_for

from amcnet.runtime import cli
from amcnet.runtime.frame import SourceInfo
from amcnet.runtime.output import progress
from amcnet.runtime.output.progress import Progress

MakeClip = Callable[..., Path]
Picture = Callable[..., NDArray[np.uint8]]
Run = Callable[..., tuple[int, str, str]]
CommandLine = Callable[[str, Callable[[], int]], Run]

COMMAND = Path(sys.executable).with_name("amc-infer")
INFO = SourceInfo(name="clip.mp4", time_base=Fraction(1, 25), expected_frames=50)


@pytest.fixture
def run(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """`run(*arguments) -> (exit status, stdout, stderr)`, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return command_line("amc-infer", cli.main)


@pytest.fixture
def clip(tmp_path: Path, make_clip: MakeClip) -> Path:
    return make_clip(tmp_path / "clip.mp4", frames=4)


# --- printed text


def test_a_run_prints_a_summary(run: Run, clip: Path, amcnet_onnx: Path) -> None:
    kinds = "masks,probabilities,overlay"
    status, out, err = run(clip, "--amcnet", amcnet_onnx, "--flow", "dis", "--threshold", "0.4", "--write", kinds)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("4 frames in ")
    assert "network" in lines[1]
    assert [line.split() for line in lines[2:]] == [
        ["masks", "clip-amcnet/masks"],
        ["probabilities", "clip-amcnet/probabilities"],
        ["overlay", "clip-amcnet/overlay.mp4"],
        ["report", "clip-amcnet/run.json"],
    ]
    report = json.loads(Path("clip-amcnet/run.json").read_text())
    assert (report["settings"]["threshold"], report["settings"]["write"]) == (0.4, kinds.split(","))
    assert len(list(Path("clip-amcnet/probabilities").iterdir())) == 4


def test_a_file_name_that_begins_with_a_dash_is_no_option(run: Run, clip: Path, amcnet_onnx: Path) -> None:
    clip.rename(clip.with_name("-clip.mp4"))
    status, _, err = run("-clip.mp4", "--amcnet", amcnet_onnx)
    assert (status, err) == (0, "")
    assert len(list(Path("-clip-amcnet/masks").iterdir())) == 4


def test_the_output_of_a_numbered_pattern_is_named_after_its_folder(run: Run, amcnet_onnx: Path) -> None:
    Path("shots").mkdir()
    for number in (1, 2):
        cv2.imwrite(f"shots/{number:03d}.png", np.zeros((48, 64, 3), np.uint8))
    status, _, err = run("shots/%03d.png", "--amcnet", amcnet_onnx, "--names", "source")
    assert (status, err.count("\n")) == (0, 1)
    assert err.startswith("note: shots/%03d.png: hardly anything moves")
    assert sorted(path.name for path in Path("shots-amcnet/masks").iterdir()) == ["001.png", "002.png"]


def test_other_video_streams_are_noted(run: Run, amcnet_onnx: Path, kinds: ModuleType, clip_picture: Picture) -> None:
    kinds.two_streams(Path("two.mkv"), [(3, (64, 48), True), (3, (96, 64), False)], clip_picture)
    status, _, err = run("two.mkv", "--amcnet", amcnet_onnx, "--video-stream", "1", "--deinterlace", "no")
    assert status == 0
    assert err == (
        "note: two.mkv: 2 video streams: 0 (mpeg4 64x48), 1 (mpeg4 96x64); stream 1 is read. "
        "Fix: choose another with --video-stream N\n"
    )
    settings = json.loads(Path("two-amcnet/run.json").read_text())["settings"]
    assert (settings["video_stream"], settings["deinterlace"], settings["names"]) == (1, "no", "index")


def test_soft_edges_are_two_numbers(
    run: Run, clip: Path, amcnet_onnx: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(clip, "--write", "matte", "--soft-edges", "0.2")
    assert ended.value.code == 2
    assert "got '0.2', expected LOW,HIGH such as 0.25,0.75" in capsys.readouterr().err
    status, out, _ = run(clip, "--amcnet", amcnet_onnx, "--write", "boxes, matte", "--soft-edges", "0.2,0.9")
    assert status == 0
    assert [line.split() for line in out.splitlines()[2:]] == [
        ["matte", "clip-amcnet/matte.mkv"],
        ["boxes", "clip-amcnet/boxes.csv"],
        ["report", "clip-amcnet/run.json"],
    ]
    assert json.loads(Path("clip-amcnet/run.json").read_text())["settings"]["soft_edges"] == [0.2, 0.9]


def test_an_empty_name_is_refused(run: Run) -> None:
    status, _, err = run("")
    assert status == 2
    assert err.startswith("error: the source is an empty string")


@pytest.mark.parametrize(
    ("precision", "model", "name"),
    [
        ("fp32", (), "amcnet-light.onnx"),
        ("int8", ("--model", "light"), "amcnet-light.int8.onnx"),
        ("fp32", ("--model", "base"), "amcnet-base.onnx"),
        ("int8", ("--model", "base"), "amcnet-base.int8.onnx"),
    ],
)
def test_without_a_network_the_bundled_one_is_used(
    run: Run, clip: Path, precision: str, model: tuple[str, ...], name: str
) -> None:
    status, _, err = run(clip, "--frames", "1", "--precision", precision, *model)
    assert status == 0
    assert "untrained" not in err
    settings = json.loads(Path("clip-amcnet/run.json").read_text())["settings"]
    used = settings["files"]["amcnet"]
    assert (used["name"], used["precision"]) == (name, precision)
    assert settings["model"] == (model[1] if model else "light")


def test_a_model_beside_an_own_network_is_refused(run: Run, clip: Path, amcnet_onnx: Path, tmp_path: Path) -> None:
    for option, file in (("--amcnet", amcnet_onnx), ("--engine", tmp_path / "x.engine")):
        status, out, err = run(clip, option, file, "--model", "base")
        assert (status, out) == (2, "")
        assert err == f"error: model base was given, but {file} is another network. Fix: leave out --model\n"
    assert run(clip, "--amcnet", amcnet_onnx)[0] == 0
    assert json.loads(Path("clip-amcnet/run.json").read_text())["settings"]["model"] is None


def test_notes_are_printed(run: Run, make_clip: MakeClip, tmp_path: Path, networks: object) -> None:
    whole = make_clip(tmp_path / "whole.mkv", frames=20).read_bytes()
    Path("cut.mkv").write_bytes(whole[: len(whole) * 3 // 4])
    amcnet = networks.make_amcnet(tmp_path / "seeded.onnx", untrained=True)  # type: ignore[attr-defined]
    status, _, err = run("cut.mkv", "--amcnet", amcnet)
    assert status == 0
    truncated, untrained = err.splitlines()
    assert truncated.startswith("note: cut.mkv: ")
    assert untrained == "note: seeded.onnx has untrained weights: the masks are meaningless"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gone.mp4"], "error: gone.mp4: there is no such file or folder; expected a video"),
        (["{clip}", "--flow", "nonsense"], "error: flow 'nonsense' is neither 'dis', a file of PWC-Net or RAFT, nor a"),
        (["{clip}", "--threshold", "2"], "error: threshold is 2.0; expected a number between 0 and 1, such as 0.5"),
        (["{clip}", "--start", "4"], "error: {clip}: start 4 is beyond the end; there are 4 frames"),
        (["{clip}", "-o", "{clip}/out"], "error: cannot write {clip}/out: Not a directory; a part of this path is a"),
    ],
)
def test_errors_are_one_line_and_status_2(
    run: Run, clip: Path, amcnet_onnx: Path, arguments: list[str], says: str
) -> None:
    filled = [argument.replace("{clip}", str(clip)) for argument in arguments]
    status, out, err = run(*filled, "--amcnet", amcnet_onnx)
    assert (status, out) == (2, "")
    assert err.startswith(says.replace("{clip}", str(clip)))
    assert err.count("\n") == 1
    assert list(Path().iterdir()) == [Path("clip.mp4")]


def test_a_second_run_names_resume_and_overwrite(run: Run, clip: Path, amcnet_onnx: Path) -> None:
    assert run(clip, "--amcnet", amcnet_onnx)[0] == 0
    status, _, err = run(clip, "--amcnet", amcnet_onnx)
    assert status == 2
    assert "clip-amcnet holds an earlier run" in err
    status, _, err = run(clip, "--amcnet", amcnet_onnx, "--resume")
    assert (status, err) == (0, "note: the run was complete already; nothing was done\n")
    assert run(clip, "--amcnet", amcnet_onnx, "--overwrite", "--frames", 2)[0] == 0
    assert len(list(Path("clip-amcnet/masks").iterdir())) == 2


def test_resume_and_overwrite_exclude_each_other(run: Run, clip: Path) -> None:
    with pytest.raises(SystemExit) as exit_:
        run(clip, "--resume", "--overwrite")
    assert exit_.value.code == 2
    assert not Path("clip-amcnet").exists()


def test_an_error_during_a_run_reports_the_finished_frames(run: Run, amcnet_onnx: Path) -> None:
    Path("shots").mkdir()
    for index in range(4):
        cv2.imwrite(f"shots/{index}.png", np.zeros((8, 8, 3), np.uint8))
    Path("shots/3.png").write_text("no picture")
    status, _, err = run("shots/*.png", "--amcnet", amcnet_onnx)
    assert status == 2
    hint, error = err.splitlines()
    assert hint == "2 frames are done in shots-amcnet; continue with --resume"
    assert error.startswith("error: shots/3.png: the image cannot be decoded")


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("-", "stdin-amcnet"),
        ("a/clip.v2.mp4", "clip.v2-amcnet"),
        ("frames.v2/", "frames.v2-amcnet"),
        ("frames.v2/*.png", "frames.v2-amcnet"),
        ("frames.v2/*/[0-9].png", "frames.v2-amcnet"),
        ("take[1].mp4", "take[1]-amcnet"),
        (".", "work-amcnet"),
        ("*.png", "work-amcnet"),
        ("..", "{above}-amcnet"),
        ("https://example.org/shots/clip.mp4?token=a/b", "clip-amcnet"),
        ("rtsp://camera.local:554/", "camera.local-amcnet"),
    ],
)
def test_the_output_is_named_after_the_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, output: str
) -> None:
    work = tmp_path / "work"
    (work / "frames.v2").mkdir(parents=True)
    (work / "take[1].mp4").touch()
    monkeypatch.chdir(work)
    assert cli._default_output(source) == Path(output.replace("{above}", tmp_path.name))


# --- progress


def test_progress_without_a_terminal_is_printed_as_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([100.0, 104.0, 110.0, 115.0, 121.0])  # seconds at frames 10, 20, …; the next lines are due at 110, 120
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with_progress = Progress()
    for done in (10, 20, 30, 40, 60):
        with_progress(INFO, done)
    with_progress.close()
    assert with_progress.done == 60
    assert capsys.readouterr().err.splitlines() == [
        "clip.mp4: frame 30/50, 2.0 frames/s, 10 s left",
        "clip.mp4: frame 60/50, 2.4 frames/s, 0 s left",  # a header that promises too little
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a.png", "b.png"], "got 2 sources (a.png, b.png), expected one. Fix: quote a pattern"),
        (["a.png", "-o", ""], "-o/--output: got an empty string, expected a folder"),
        (["a.png", "--typo"], "unrecognized arguments: --typo"),
    ],
)
def test_arguments_that_a_shell_or_a_slip_adds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["amc-infer", *arguments])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert says in capsys.readouterr().err


def test_a_source_of_unknown_length(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([100.0, 120.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with_progress, info = Progress(), SourceInfo(name="standard input", time_base=Fraction(1, 25))
    with_progress(info, 1)
    with_progress(info, 51)
    assert capsys.readouterr().err == "standard input: frame 51, 2.5 frames/s\n"


def test_progress_on_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    with_progress = Progress()
    for done in (5, 50):
        with_progress(INFO, done)
    with_progress.close()
    shown = terminal.getvalue()
    assert "clip.mp4: 100%" in shown
    assert "50/50" in shown
    assert shown.endswith("\n")


# --- Ctrl-C


def _start(*arguments: object, **pipes: int) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **pipes}
    # SIGINT may be ignored where the tests run in the background; the child would take that over.
    default = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen([str(COMMAND), *map(str, arguments)], text=True, **pipes)  # type: ignore[call-overload, no-any-return]
    finally:
        signal.signal(signal.SIGINT, default)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of another kind")
@pytest.mark.parametrize("frames", [1, 20])
def test_ctrl_c_leaves_a_resumable_run(
    tmp_path: Path, make_clip: MakeClip, amcnet_onnx: Path, pwcnet_onnx: Path, frames: int
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=1500)
    output = tmp_path / "out"
    arguments = [clip, "-o", output, "--amcnet", amcnet_onnx, "--flow", pwcnet_onnx]
    process = _start(*arguments)
    try:
        wait_for(lambda: (output / "masks" / f"{frames - 1:05d}.png").exists(), process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 130
    report = json.loads((output / "run.json").read_text())
    assert report["complete"] is False
    assert frames <= report["frames"] < 1500
    assert err.splitlines() == [
        "",
        "stopping after the current frame; press Ctrl-C again to stop at once",
        f"{report['frames']} frames are done in {output}; continue with --resume",
    ]
    assert len(list((output / "masks").iterdir())) == report["frames"]
    with av.open(str(output / "overlay.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == report["frames"]
    assert sorted(path.name for path in output.iterdir()) == ["masks", "overlay.mp4", "run.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of another kind")
def test_a_second_ctrl_c_ends_a_run_that_waits_for_a_pipe(tmp_path: Path, amcnet_onnx: Path) -> None:
    frame = b"FRAME\n" + bytes(64 * 48 * 3 // 2)
    process = _start("-", "-o", tmp_path / "out", "--amcnet", amcnet_onnx, stdin=subprocess.PIPE)
    try:
        assert process.stdin is not None
        process.stdin.buffer.write(b"YUV4MPEG2 W64 H48 F25:1\n" + 40 * frame)  # and then no more, nor an end
        process.stdin.buffer.flush()
        # Some of the last frames are still in its buffers: whatever it does now, it waits for more of them soon.
        wait_for(lambda: (tmp_path / "out" / "masks" / "00020.png").exists(), process)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert [process.stderr.readline() for _ in range(2)][1].startswith("stopping after the current frame")
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.stdin.close()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["complete"] is False


def test_the_handler_of_ctrl_c_is_restored(run: Run, clip: Path, amcnet_onnx: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert run(clip, "--amcnet", amcnet_onnx)[0] == 0
    assert run(clip, "--amcnet", amcnet_onnx)[0] == 2
    assert signal.getsignal(signal.SIGINT) is before


# --- imports and memory

_WITHOUT = """
import sys
BLOCKED = {"torch", "onnx", "onnxscript", "PIL", "matplotlib", "safetensors"}
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
from amcnet.runtime.cli import main
status = main()
assert not BLOCKED & set(sys.modules)
sys.exit(status)
"""


def test_the_command_imports_neither_torch_nor_onnx(clip: Path, amcnet_onnx: Path, pwcnet_onnx: Path) -> None:
    for flow in ("dis", pwcnet_onnx):
        output = clip.with_name(f"out-{Path(flow).name}")
        arguments = [str(value) for value in (clip, "-o", output, "--amcnet", amcnet_onnx, "--flow", flow)]
        done = subprocess.run([sys.executable, "-c", _WITHOUT, *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(list((output / "masks").iterdir())) == 4


def test_help_imports_no_video_library() -> None:
    code = (
        "import sys; from amcnet.runtime.cli import main\ntry: main()\n"
        "finally: print(sorted({'numpy', 'cv2', 'av', 'tqdm', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: amc-infer")
    assert done.stdout.endswith("129 SIGHUP\n[]\n")


# Not getrusage, whose peak includes that of the process which started this one.
_PEAK = """
import re, sys
from pathlib import Path
from types import ModuleType
from amcnet.runtime.cli import main
status = main()
print(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
sys.exit(status)
"""


@pytest.mark.parametrize("lengths", [(3, 12), pytest.param((3, 30), marks=pytest.mark.slow)])
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_video(
    lengths: tuple[int, int], tmp_path: Path, make_clip: MakeClip, amcnet_onnx: Path
) -> None:
    peaks = {}
    for seconds in lengths:
        clip = make_clip(tmp_path / f"{seconds}s.mp4", frames=10 * seconds, size=(320, 240), rate=Fraction(10))
        arguments = [str(clip), "-o", str(tmp_path / f"{seconds}s"), "--amcnet", str(amcnet_onnx)]
        command = [sys.executable, "-c", _PEAK, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[seconds] = int(done.stdout.splitlines()[-1])
        assert len(list((tmp_path / f"{seconds}s" / "masks").iterdir())) == 10 * seconds
    assert peaks[lengths[1]] <= 1.1 * peaks[lengths[0]], f"peak memory {peaks} kB"
