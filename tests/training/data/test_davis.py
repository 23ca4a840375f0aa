"""DAVIS in both layouts and all mask formats, and the cached flow of its frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from amcnet.runtime.errors import InputError
from amcnet.training.data.clips import Clips
from amcnet.training.data.davis import HELD_OUT, Sequence, find_sequences, hold_out, read_mask

Shared = Callable[[str], Path]
WriteSequence = Callable[..., None]


@pytest.mark.parametrize(("suffix", "middle"), [(".jpg", "480p"), (".webp", "")])
def test_both_layouts_are_found(tmp_path: Path, write_sequence: WriteSequence, suffix: str, middle: str) -> None:
    for name in ("swing", "bear"):
        write_sequence(tmp_path, name, 3, suffix, middle)
    sequences = find_sequences(tmp_path)
    assert [sequence.name for sequence in sequences] == ["bear", "swing"]
    assert [path.name for path in sequences[0].frames] == [f"{i:05d}{suffix}" for i in range(3)]
    assert all(path.is_file() for path in sequences[0].annotations)
    assert [sequence.name for sequence in find_sequences(tmp_path, ["swing"])] == ["swing"]


def test_validation_sequences_of_the_official_folder_are_not_used(
    tmp_path: Path, write_sequence: WriteSequence
) -> None:
    for name in ("bear", "blackswan"):
        write_sequence(tmp_path, name, 2, middle="480p")
    listing = tmp_path / "ImageSets" / "480p" / "train.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text("/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png \n" * 2)
    assert [sequence.name for sequence in find_sequences(tmp_path)] == ["bear"]


def test_errors_name_the_missing_file(tmp_path: Path, write_sequence: WriteSequence) -> None:
    with pytest.raises(InputError, match="no folder JPEGImages"):
        find_sequences(tmp_path)
    write_sequence(tmp_path, "bear", 2)
    (tmp_path / "Annotations" / "bear" / "00001.png").unlink()
    with pytest.raises(InputError, match=r"00001\.png is missing"):
        find_sequences(tmp_path)
    with pytest.raises(InputError, match="holds no frames"):
        find_sequences(tmp_path, ["nobody"])


def test_masks_of_all_formats_are_read(tmp_path: Path) -> None:
    truth = np.zeros((8, 9), np.uint8)
    truth[2:5, 3:7] = 255
    opaque = np.full_like(truth, 255)
    for name, stored in {
        "gray": truth,
        "palette index": truth // 255,
        "color": np.dstack((truth * 0, truth * 0, truth // 2)),
        "with alpha": np.dstack((truth, truth, truth, opaque)),
    }.items():
        cv2.imwrite(str(tmp_path / "mask.png"), stored)
        assert np.array_equal(read_mask(tmp_path / "mask.png"), truth), name
    cv2.imwrite(str(tmp_path / "mask.png"), np.where(truth > 0, 200, 90).astype(np.uint8))
    assert np.array_equal(read_mask(tmp_path / "mask.png", above=127), truth)
    (tmp_path / "mask.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="not a readable mask"):
        read_mask(tmp_path / "mask.png")


def test_flow_is_in_pixels_of_the_video_and_cached(tmp_path: Path, write_sequence: WriteSequence) -> None:
    write_sequence(tmp_path, "square", 4)
    clips = Clips(find_sequences(tmp_path), tmp_path / "flow")
    for gap in (1, 2):
        sample = clips.sample(0, lambda gaps, gap=gap: gap)  # type: ignore[misc]
        inside = cv2.resize(sample.mask, sample.flow.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
        assert np.abs(np.median(sample.flow[inside], axis=0) - (4 * gap, 0)).max() < 0.5
        assert np.abs(np.median(sample.flow[~inside], axis=0)).max() < 0.3
    back = clips.sample(3, lambda gaps: gaps[0])
    assert np.median(back.flow[..., 0][back.flow[..., 0] < -2]) == pytest.approx(-4, abs=0.5)

    stored = tmp_path / "flow" / "square.npy"
    written = stored.stat().st_mtime_ns
    again = Clips(find_sequences(tmp_path), tmp_path / "flow")
    assert stored.stat().st_mtime_ns == written
    assert np.array_equal(again.sample(3, lambda gaps: gaps[0]).flow, back.flow)


def test_another_flow_is_used_for_the_clips(tmp_path: Path, write_sequence: WriteSequence) -> None:
    write_sequence(tmp_path, "square", 3)
    clips = Clips(find_sequences(tmp_path), tmp_path / "flow", lambda first, *_: np.full((9, 16, 2), 7, np.float32))
    assert (clips.sample(1, lambda gaps: gaps[0]).flow == 7).all()


def test_gaps_stay_inside_the_sequence(tmp_path: Path, write_sequence: WriteSequence) -> None:
    write_sequence(tmp_path, "square", 3)
    clips = Clips(find_sequences(tmp_path), tmp_path / "flow")
    offered: dict[int, list[int]] = {}
    for number in range(3):
        clips.sample(number, lambda gaps, number=number: offered.setdefault(number, gaps)[0])  # type: ignore[misc]
    assert offered == {0: [1, 2], 1: [1, -1], 2: [-1, -2]}


def named(*names: str) -> list[Sequence]:
    return [Sequence(name=name, frames=(), annotations=()) for name in names]


def test_eight_sequences_of_davis_are_held_out() -> None:
    rest, held = hold_out(named("bear", *HELD_OUT, "train"))
    assert [sequence.name for sequence in held] == list(HELD_OUT)
    assert [sequence.name for sequence in rest] == ["bear", "train"]
    assert len(held) == 8


def test_every_fourth_of_other_sequences_is_held_out() -> None:
    rest, held = hold_out(named("a", "b", "c", "swing", "d", "e", "f", "g", "h"))
    assert [sequence.name for sequence in held] == ["swing", "g"]
    assert len(rest) == 7
    assert [sequence.name for sequence in hold_out(named("a", "b"))[1]] == ["b"]


def test_the_training_sequences_of_davis(shared: Shared) -> None:
    sequences = find_sequences(shared("data/davis16/train"))
    assert len(sequences) == 30
    assert sum(len(sequence.frames) for sequence in sequences) == 2079
    assert {sequence.name for sequence in hold_out(sequences)[1]} == set(HELD_OUT)
    bear = next(sequence for sequence in sequences if sequence.name == "bear")
    mask = read_mask(bear.annotations[77])
    assert set(np.unique(mask)) == {0, 255}
    assert 0.05 < (mask > 0).mean() < 0.5
    bumps = next(sequence for sequence in sequences if sequence.name == "bmx-bumps")
    assert sum(not read_mask(path).any() for path in bumps.annotations) == 14
