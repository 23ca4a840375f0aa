"""Runs with other outputs than the default: files, resuming, options and disk space."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import av
import pytest

from amcnet.runtime.errors import InputError, OutputError
from amcnet.runtime.frame import SourceInfo
from amcnet.runtime.infer import InferOptions, infer
from amcnet.runtime.output import disk_space, kinds

FRAMES = 7
KINDS = {name: kind for name, kind in kinds.KINDS.items() if not kind.explains}  # see test_explain.py


@pytest.fixture(scope="module")
def clip(make_clip: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=FRAMES, size=(100, 60), audio=True)


@pytest.fixture
def options(clip: Path, amcnet_onnx: Path, tmp_path: Path) -> InferOptions:
    return InferOptions(source=clip, output=tmp_path / "out", amcnet=amcnet_onnx)


@pytest.fixture(scope="module")
def everything(clip: Path, amcnet_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """All files of an uninterrupted run that writes all kinds."""
    output = tmp_path_factory.mktemp("whole") / "out"
    infer(InferOptions(source=clip, output=output, amcnet=amcnet_onnx, write=tuple(KINDS)))
    return _files(output)


def _files(output: Path) -> dict[str, bytes]:
    files = {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}
    return {name: content for name, content in files.items() if name != "run.json"}


def _stop_after(frames: int) -> Callable[[SourceInfo, int], None]:
    def progress(_: SourceInfo, done: int) -> None:
        if done == frames:
            raise KeyboardInterrupt

    return progress


def test_all_kinds_are_written_and_listed_with_their_sizes(everything: dict[str, bytes], options: InferOptions) -> None:
    expected = [kind.path for kind in KINDS.values() if not kind.is_folder]
    expected += [f"{kind.path}/{index:05d}.png" for kind in KINDS.values() if kind.is_folder for index in range(FRAMES)]
    assert sorted(everything) == sorted(expected)
    report = infer(replace(options, write=("boxes", "masks-davis", "rle")))
    files = _files(Path(options.output))
    assert {name: everything[name] for name in files} == files, "the same as when all kinds are written"
    assert report["settings"]["write"] == ["masks-davis", "rle", "boxes"]
    assert report["outputs"] == json.loads((Path(options.output) / "run.json").read_text())["outputs"]
    assert report["outputs"] == {
        "masks-davis": {
            "path": "masks-davis",
            "bytes": sum(len(content) for name, content in files.items() if name.startswith("masks-davis/")),
        },
        "rle": {"path": "rle.jsonl", "bytes": len(files["rle.jsonl"])},
        "boxes": {"path": "boxes.csv", "bytes": len(files["boxes.csv"])},
    }
    assert {path.name for path in Path(options.output).iterdir()} == {
        *("masks-davis", "rle.jsonl", "boxes.csv", "run.json")
    }


@pytest.mark.parametrize("kind", ["masks", "alpha-png", "alpha-webm", "boxes"])
def test_each_kind_can_be_written_alone(options: InferOptions, everything: dict[str, bytes], kind: str) -> None:
    report = infer(replace(options, write=(kind,)))
    path = KINDS[kind].path
    own = {name: content for name, content in everything.items() if name.split("/")[0] == path}
    assert _files(Path(options.output)) == own
    written = [stage for stage in report["latency_ms"] if stage.startswith("write ")]
    assert written == [f"write {kind}"] if kind == "masks" else [f"write {kind}", "write resume"]


@pytest.mark.parametrize("frames", [1, 5])
@pytest.mark.parametrize("write", [tuple(KINDS), ("alpha-prores", "rle"), ("overlay",), ("masks", "alpha-png")])
def test_a_resumed_run_equals_an_uninterrupted_one(
    options: InferOptions, everything: dict[str, bytes], frames: int, write: tuple[str, ...]
) -> None:
    options = replace(options, write=write)
    with pytest.raises(KeyboardInterrupt):
        infer(options, _stop_after(frames))
    report = infer(replace(options, resume=True))
    paths = {KINDS[kind].path for kind in write}
    assert _files(Path(options.output)) == {
        name: content for name, content in everything.items() if name.split("/")[0] in paths
    }
    assert (report["frames"], report["computed_frames"]) == (FRAMES, FRAMES - max(frames - 2, 0))
    assert not (Path(options.output) / "resume").exists()


def test_a_complete_run_is_resumed_only_for_what_is_missing(options: InferOptions) -> None:
    options = replace(options, write=("masks", "boxes"), resume=True)
    infer(options)
    assert "complete already" in infer(options)["notes"][-1]
    boxes = Path(options.output) / "boxes.csv"
    before = boxes.read_bytes()
    boxes.unlink()
    assert infer(options)["computed_frames"] == 2
    assert boxes.read_bytes() == before


def test_overwrite_removes_the_kinds_of_the_earlier_run(options: InferOptions) -> None:
    infer(replace(options, write=("masks", "matte", "alpha-png", "rle")))
    with pytest.raises(OutputError, match="holds an earlier run"):
        infer(replace(options, write=("boxes",)))
    infer(replace(options, write=("boxes",), overwrite=True))
    assert {path.name for path in Path(options.output).iterdir()} == {"boxes.csv", "run.json"}


def test_files_of_others_are_never_replaced(options: InferOptions) -> None:
    theirs = Path(options.output) / "alpha.mov"
    theirs.parent.mkdir()
    theirs.write_bytes(b"theirs")
    for write in (("alpha-prores",), ("masks",)):
        with pytest.raises(OutputError, match=r"alpha\.mov is in the way"):
            infer(replace(options, write=write, overwrite=True))
    assert theirs.read_bytes() == b"theirs"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"write": ("mask",)}, "write: got 'mask', expected some of masks"),
        ({"write": ()}, "write: got nothing"),
        ({"background": "blur"}, "background: got 'blur' without that output. Fix: --write background"),
        ({"write": ("background",), "background": "gone.png"}, r"background: gone\.png: there is no such file"),
        ({"soft_edges": (0.2, 0.8)}, "soft edges: no output has them"),
        ({"write": ("matte",), "soft_edges": (0.5, 0.8)}, r"soft edges: got 0\.5,0\.8 with threshold 0\.5"),
    ],
)
def test_wrong_options_are_refused_and_write_nothing(options: InferOptions, change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        infer(replace(options, **change))
    assert not Path(options.output).exists()


def test_sound_is_kept_in_all_videos(everything: dict[str, bytes], tmp_path: Path) -> None:
    sound = {}
    for name in (name for name in everything if name.endswith((".mp4", ".mov", ".mkv", ".webm"))):
        (tmp_path / name).write_bytes(everything[name])
        with av.open(str(tmp_path / name)) as container:
            sound[name] = container.streams.audio[0].codec_context.name
            assert container.duration / 1e6 == pytest.approx(FRAMES / 25, abs=0.05), name
    in_webm = {"alpha.webm": "opus"}
    assert sound == dict.fromkeys(sound, "aac") | in_webm
    assert len(sound) == 7


def test_rotation_is_applied_in_all_kinds(
    options: InferOptions, tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    clip = make_clip(tmp_path / "phone.mp4", frames=2, size=(48, 80), rotation=90)
    infer(replace(options, source=clip, write=("matte", "alpha-prores", "background", "rle")))
    for name in ("matte.mkv", "alpha.mov", "background.mp4"):
        with av.open(str(Path(options.output) / name)) as container:
            frame = next(container.decode(video=0))
            assert (frame.width, frame.height, frame.rotation) == (48, 80, 0)
    line = (Path(options.output) / "rle.jsonl").read_text().splitlines()[0]
    assert json.loads(line)["segmentation"]["size"] == [80, 48]


# --- disk space


class _Usage(NamedTuple):
    free: int


def test_too_little_space_is_an_error_before_the_first_file(
    options: InferOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(options, write=("masks", "alpha-prores"))
    needed = sum(infer(options)["estimated_bytes"].values())
    shutil.rmtree(options.output)
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: _Usage(needed - 1))
    message = r"out needs about .* MiB \(alpha-prores .*, masks .*\); got .* MiB free\. Fix: .*--write.*-o"
    with pytest.raises(OutputError, match=message):
        infer(options)
    assert not Path(options.output).exists()
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: _Usage(needed))
    assert infer(options)["complete"]
    # The files of the run that is replaced count as room.
    held = sum(row["bytes"] for row in infer(replace(options, resume=True))["outputs"].values())
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: _Usage(needed - held))
    assert infer(replace(options, overwrite=True))["complete"]


def test_large_outputs_are_announced(options: InferOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, bool]] = []

    def announce(sentence: str) -> None:
        said.append((sentence, Path(options.output).exists()))

    infer(options, announce=announce)
    assert said == []
    shutil.rmtree(options.output)
    monkeypatch.setattr("amcnet.runtime.infer._ANNOUNCED_BYTES", 1)
    infer(options, announce=announce)
    ((sentence, exists),) = said
    assert sentence.startswith(f"{options.source}: the outputs will take about 0.0 MiB (overlay 0.0 MiB, masks ")
    assert not exists


def test_bytes_are_given_in_fitting_units() -> None:
    assert disk_space.in_units(3 * 2**20) == "3.0 MiB"
    assert disk_space.in_units(2**31) == "2.0 GiB"
    assert disk_space.estimate_bytes(["alpha-prores"], frames=10, width=1920, height=1080)["alpha-prores"] > 10**6
    small, large = (disk_space.estimate_bytes(["explain"], frames=1, width=w, height=w) for w in (100, 4000))
    assert small == large
    assert 4e5 < large["explain"] < 5e5
