"""Evaluation of folders: the official DAVIS-2016 scores, layouts, protocols and errors."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from amcnet.benchmarks import evaluate
from amcnet.runtime.errors import InputError

WritePictures = Callable[[Path, dict[str, NDArray[np.uint8]]], None]
MovingSquare = Callable[[Iterable[int]], dict[str, NDArray[np.uint8]]]


@pytest.fixture
def folders(tmp_path: Path, write_pictures: WritePictures, moving_square: MovingSquare) -> tuple[Path, Path]:
    """(masks, annotations) of `walk` (5 frames, masks 5 px off: J 1/3) and `stay` (4 frames, all right)."""
    masks, annotations = tmp_path / "masks", tmp_path / "annotations"
    write_pictures(annotations / "walk", moving_square(range(10, 15)))
    write_pictures(masks / "walk", moving_square(range(15, 20)))
    write_pictures(annotations / "stay", moving_square([20] * 4))
    write_pictures(masks / "stay", moving_square([20] * 4))
    return masks, annotations


def test_osvos_masks_get_the_official_scores(shared: Callable[[str], Path]) -> None:
    expected = json.loads(shared("reference/davis16_osvos_expected.json").read_text())
    found = evaluate(
        shared("reference/osvos_masks"), shared("data/davis16/val/Annotations/480p"), protocol="davis16"
    ).to_json()
    assert list(found["sequences"]) == [name for name in expected if name != "average"]
    for name, figures in {**found["sequences"], "average": found["average"]}.items():
        for measure in ("J", "F"):
            assert list(figures[measure].values()) == pytest.approx(expected[name][measure], abs=1e-6), (name, measure)
    assert found["average"]["J&F"] == pytest.approx((0.7714703715 + 0.8442844380) / 2, abs=1e-6)
    assert found["frames"] == 409 - 2 * 6


def test_scores_equal_a_count_by_hand(folders: tuple[Path, Path]) -> None:
    found = evaluate(*folders).to_json()
    assert found["protocol"] == "davis16"
    assert set(found["versions"]) == {"amcnet", "numpy", "opencv"}
    assert found["sequences"]["walk"]["J"] == pytest.approx({"mean": 1 / 3, "recall": 0, "decay": 0})
    assert found["sequences"]["walk"]["frames"] == 3
    assert found["sequences"]["stay"]["F"] == {"mean": 1, "recall": 1, "decay": 0}
    # Sequences weigh the same however long they are.
    assert found["average"]["J"] == pytest.approx({"mean": 2 / 3, "recall": 0.5, "decay": 0})
    assert found["average"]["J&F"] == pytest.approx((found["average"]["J"]["mean"] + found["average"]["F"]["mean"]) / 2)
    assert found["frames"] == 3 + 2


def test_first_and_last_frame_do_not_count_and_need_no_mask(folders: tuple[Path, Path]) -> None:
    masks, annotations = folders
    whole = evaluate(masks, annotations)
    (masks / "walk" / "00000.png").unlink()
    (masks / "walk" / "00004.png").unlink()
    assert evaluate(masks, annotations) == whole


def test_each_frame_has_its_scores_and_the_worst_is_found(
    folders: tuple[Path, Path], write_pictures: WritePictures
) -> None:
    masks, annotations = folders
    write_pictures(masks / "stay", {"00002.png": np.zeros((40, 60), np.uint8)})
    stay = evaluate(masks, annotations, sequences=["stay"]).sequences[0]
    assert [(f.pair.name, f.region, f.boundary) for f in stay.frames] == [("00001", 1, 1), ("00002", 0, 0)]
    assert stay.worst.pair.name == "00002"


def test_layouts_of_folders_have_equal_scores(folders: tuple[Path, Path], tmp_path: Path) -> None:
    masks, annotations = folders
    expected = evaluate(masks, annotations, sequences=["walk"]).to_json()["sequences"]["walk"]
    as_infer_writes = tmp_path / "run"
    as_infer_writes.mkdir()
    (masks / "walk").rename(as_infer_writes / "masks")
    (tmp_path / "runs").mkdir()
    for mask_folder in (as_infer_writes, as_infer_writes / "masks"):  # one sequence: DIR/masks/, DIR/
        found = evaluate(mask_folder, annotations / "walk")
        assert found.to_json()["sequences"] == {"walk": expected}
        assert found == evaluate(mask_folder, annotations / "walk", sequences=["walk"])
        assert evaluate(mask_folder, annotations, sequences=["walk"]).to_json()["sequences"] == {"walk": expected}
    as_infer_writes.rename(tmp_path / "runs" / "walk")  # several: DIR/<sequence>/masks/
    found = evaluate(tmp_path / "runs", annotations, sequences=["walk"])
    assert found.to_json()["sequences"] == {"walk": expected}


def test_every_label_and_gray_value_of_a_mask_is_object(
    folders: tuple[Path, Path], moving_square: MovingSquare
) -> None:
    masks, annotations = folders
    for name, pixels in moving_square([20] * 4).items():
        image = Image.fromarray(pixels // 255, "P")
        image.putpalette([0, 0, 0, 128, 0, 0])
        image.save(masks / "stay" / name)
    assert evaluate(masks, annotations, sequences=["stay"]).region.mean == 1
    for name, pixels in moving_square([20] * 4).items():
        cv2.imwrite(str(masks / "stay" / name), pixels // 255)  # 0 and 1
    assert evaluate(masks, annotations, sequences=["stay"]).region.mean == 1


def test_fbms_counts_all_sparse_annotations_above_128(
    tmp_path: Path, write_pictures: WritePictures, moving_square: MovingSquare
) -> None:
    true = moving_square([10, 20, 30])
    true["00001.png"][:] = 128  # not above: empty
    write_pictures(tmp_path / "gt" / "cats01" / "GroundTruth", {"00000.png": true["00000.png"]})
    write_pictures(
        tmp_path / "gt" / "cats01" / "GroundTruth", {"00020.png": true["00001.png"], "00040.png": true["00002.png"]}
    )
    (tmp_path / "gt" / "cats01" / "GroundTruth" / "cats01Def.dat").write_text("not an image")
    masks = moving_square([10, 10, 35])
    masks["00001.png"][:] = 0
    write_pictures(
        tmp_path / "masks" / "cats01",
        {"00000.png": masks["00000.png"], "00020.png": masks["00001.png"], "00040.png": masks["00002.png"]},
    )
    found = evaluate(tmp_path / "masks", tmp_path / "gt", protocol="fbms")
    assert [f.region for f in found.sequences[0].frames] == pytest.approx([1, 1, 1 / 3])
    assert found.region.mean == pytest.approx(7 / 9)
    assert found.region.recall == 1  # of the middle one: the official script slices the ends away here too
    assert evaluate(tmp_path / "masks", tmp_path / "gt" / "cats01", protocol="fbms") == found


def test_youtube_objects_reads_jpeg_labels_above_127_and_fits_their_size(
    tmp_path: Path, write_pictures: WritePictures, moving_square: MovingSquare
) -> None:
    masks = moving_square([10, 20])
    labels = {name.replace("png", "jpg"): cv2.resize(m, (120, 80)) for name, m in masks.items()}
    labels["00001.jpg"] = labels["00001.jpg"] // 2  # 127: not above
    write_pictures(tmp_path / "gt" / "cat" / "shots/001/labels", labels)
    write_pictures(tmp_path / "masks" / "cat", masks)
    found = evaluate(tmp_path / "masks", tmp_path / "gt", protocol="youtube-objects")
    assert [f.region for f in found.sequences[0].frames] == [1, 0]
    average = found.to_json()["average"]
    assert average["J"]["recall"] is None  # nothing is left between two ends
    assert average["J"]["mean"] == pytest.approx(found.region.mean)
    assert math.isnan(found.region.recall)
    json.dumps(average, allow_nan=False)


def test_an_annotation_is_resized_as_pillow_does(tmp_path: Path, write_pictures: WritePictures) -> None:
    annotation = (np.random.default_rng(1).random((57, 91)) > 0.5).astype(np.uint8) * 255
    as_mask = np.array(Image.fromarray(annotation).resize((64, 48), Image.Resampling.NEAREST))
    write_pictures(tmp_path / "gt" / "cat" / "GroundTruth", {"00000.png": annotation})
    write_pictures(tmp_path / "masks" / "cat", {"00000.png": as_mask})
    assert evaluate(tmp_path / "masks", tmp_path / "gt", protocol="fbms").region.mean == 1


def test_davis_refuses_another_size(folders: tuple[Path, Path], write_pictures: WritePictures) -> None:
    masks, annotations = folders
    write_pictures(masks / "walk", {"00002.png": np.zeros((20, 30), np.uint8)})
    with pytest.raises(InputError, match=r"walk/00002\.png: got 30x20, expected 60x40, the size of .*00002\.png"):
        evaluate(masks, annotations)


def test_missing_masks_are_counted_and_the_first_is_named(folders: tuple[Path, Path]) -> None:
    masks, annotations = folders
    (masks / "walk" / "00002.png").unlink()
    (masks / "walk" / "00003.png").unlink()
    with pytest.raises(InputError, match=r"2 of 5 annotated frames have no mask; the first is .*walk/00002\.png"):
        evaluate(masks, annotations)


@pytest.mark.parametrize("keep", [0, 40])
def test_a_truncated_mask_is_refused(folders: tuple[Path, Path], keep: int) -> None:
    masks, annotations = folders
    path = masks / "walk" / "00001.png"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=rf"00001\.png is truncated or not an image: got {keep} bytes that"):
        evaluate(masks, annotations)


def test_no_thread_survives_an_error(folders: tuple[Path, Path], moving_square: MovingSquare) -> None:
    masks, annotations = folders
    for name, pixels in moving_square([20] * 200).items():
        big = np.repeat(np.repeat(pixels, 20, axis=0), 20, axis=1)
        assert cv2.imwrite(str(annotations / "walk" / name), big)
        assert cv2.imwrite(str(masks / "walk" / name), big)
    (masks / "walk" / "00001.png").write_bytes(b"")
    before = set(threading.enumerate())
    with pytest.raises(InputError, match="truncated or not an image"):
        evaluate(masks, annotations, sequences=["walk"])
    assert set(threading.enumerate()) == before


def test_missing_inputs_are_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    masks, annotations = folders
    with pytest.raises(InputError, match="nowhere is not a directory"):
        evaluate(masks, tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no annotations for wlak: .* has stay, walk"):
        evaluate(masks, annotations, sequences=["walk", "wlak"])
    with pytest.raises(InputError, match="an empty list of sequences"):
        evaluate(masks, annotations, sequences=[])
    with pytest.raises(InputError, match=r"has no fbms annotations; expected .*GroundTruth/\*\.png"):
        evaluate(masks, annotations, protocol="fbms")
    with pytest.raises(
        InputError, match=r"unknown protocol: got 'davis17', expected one of davis16, fbms, youtube-objects"
    ):
        evaluate(masks, annotations, protocol="davis17")


def test_two_annotated_frames_are_too_few_for_davis(
    tmp_path: Path, write_pictures: WritePictures, moving_square: MovingSquare
) -> None:
    write_pictures(tmp_path / "short", moving_square([1, 2]))
    with pytest.raises(InputError, match="too few annotated frames"):
        evaluate(tmp_path / "short", tmp_path / "short")
