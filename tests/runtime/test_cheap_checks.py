"""Errors in a command are reported before a network is loaded or its library imported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

# Status, and which of the libraries was imported.
_COMMAND = """
import sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None  # as if it were not installed
from amcnet.runtime.cli import main
sys.argv[1:] = sys.argv[2:]
status = main()
print(sorted({"openvino", "onnxruntime", "tensorrt", "cuda", "pydensecrf"} & {n for n, m in sys.modules.items() if m}))
sys.exit(status)
"""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gone.mp4"], "gone.mp4: there is no such file"),
        (["empty.mp4"], "empty.mp4: the file is empty"),
        (["text.mp4"], "text.mp4: the video cannot be opened"),
        (["clip.mp4", "--start", "9"], "start 9 is beyond the end"),
        (["clip.mp4", "--stride", "0"], "stride 1 or more"),
        (["clip.mp4", "-o", "clip.mp4"], "cannot write clip.mp4: Not a directory"),
        (["clip.mp4", "-o", "clip.mp4/out"], "cannot write clip.mp4/out: Not a directory"),
        (["clip.mp4", "-o", "x" * 300], "File name too long"),
        (
            ["x" * 300],
            "the file cannot be opened (",
        ),
        (["earlier/overlay.mp4", "-o", "earlier", "--overwrite"], "is an output of earlier, which this run would"),
        (["clip.mp4", "-o", "theirs"], "theirs/masks is in the way"),
        (["clip.mp4", "-o", "earlier"], "earlier holds an earlier run"),
        (["clip.mp4", "-o", "earlier", "--resume"], "was begun with"),
        (["clip.mp4", "--threshold", "1"], "threshold is 1.0"),
        (["clip.mp4", "--flow", "raft"], "flow 'raft' is neither"),
        (["clip.mp4", "--flow", "gone.onnx"], "gone.onnx: no such file"),
        (["clip.mp4", "--flow", "text.onnx"], "text.onnx is not an ONNX file"),
        (["clip.mp4", "--flow", "amcnet.onnx"], "expected 'pwcnet'"),
        (["clip.mp4", "--flow", "theirs"], "but no flow"),
        (["clip.mp4", "--flow", "earlier/masks"], "1 flow files, the source 3 frames"),
        (["clip.mp4", "--amcnet", "gone.onnx"], "gone.onnx: no such file"),
        (["clip.mp4", "--amcnet", "amcnet.onnx", "--precision", "int8"], "has its own"),
        (["clip.mp4", "--engine", "gone.engine"], "gone.engine: no such file"),
        (["clip.mp4", "--precision", "int8", "--device", "cuda"], "are for CPUs"),
        (
            ["clip.mp4", "--amcnet", "amcnet.onnx", "--explain"],
            "got the outputs mask, expected also attention0, attention1, attention2, attention3, attention4, "
            "gate_scores. Fix: export-onnx amcnet --checkpoint CHECKPOINT --with-attention",
        ),
    ],
)
def test_options_are_checked_before_a_network_is_loaded(
    tmp_path: Path, make_clip: Callable[..., Path], networks: ModuleType, arguments: list[str], says: str
) -> None:
    make_clip(tmp_path / "clip.mp4", frames=3)
    (tmp_path / "empty.mp4").touch()
    for name in ("text.mp4", "text.onnx"):
        (tmp_path / name).write_text("neither video nor network")
    networks.make_amcnet(tmp_path / "amcnet.onnx")
    for name in ("theirs", "earlier"):
        (tmp_path / name / "masks").mkdir(parents=True)
    (tmp_path / "earlier" / "masks" / "00000.png").touch()
    make_clip(tmp_path / "earlier" / "overlay.mp4", frames=3)
    (tmp_path / "earlier" / "run.json").write_text('{"settings": {"source": "another.mp4"}}')
    before = sorted(tmp_path.rglob("*"))
    done = _run(tmp_path, "", arguments)
    assert (done.returncode, done.stdout) == (2, "[]\n"), done.stderr
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("absent", "arguments", "says"),
    [
        ("pydensecrf", ["--crf"], "pip install 'amcnet[crf]'"),
        ("openvino,onnxruntime", [], "pip install --force-reinstall onnxruntime"),
    ],
)
def test_a_missing_extra_is_reported_first(
    tmp_path: Path, make_clip: Callable[..., Path], absent: str, arguments: list[str], says: str
) -> None:
    make_clip(tmp_path / "clip.mp4", frames=3)
    done = _run(tmp_path, absent, ["clip.mp4", *arguments])
    assert (done.returncode, done.stdout) == (2, "[]\n"), done.stderr
    assert says in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def _run(folder: Path, absent: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _COMMAND, absent, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
