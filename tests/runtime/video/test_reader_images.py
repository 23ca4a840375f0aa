import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from amcnet.runtime.errors import InputError
from amcnet.runtime.video.reader import open_frames


def _save(path: Path, value: int, size: tuple[int, int] = (6, 4)) -> Path:
    Image.new("RGB", size, (value, 0, 0)).save(path)
    return path


def _reds(source: Path | str, **selection: int) -> list[int]:
    with open_frames(source, **selection) as reader:
        return [int(frame.pixels[0, 0, 0]) for frame in reader]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in (10, 2, 1, 30, 9):
        _save(tmp_path / f"frame{number}.png", number)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "._frame3.png").write_bytes(b"not a picture at all")
    (tmp_path / "old.png").mkdir()
    return tmp_path


def test_a_folder_is_read_in_natural_order_at_25_frames_a_second(folder: Path):
    with open_frames(folder) as reader:
        frames = list(reader)
        assert reader.truncated is None
    assert [int(frame.pixels[0, 0, 0]) for frame in frames] == [1, 2, 9, 10, 30]
    assert [frame.pts for frame in frames] == [0, 1, 2, 3, 4]
    assert frames[4].pts_seconds == pytest.approx(0.16)
    info = reader.info
    assert (1 / info.time_base, info.frame_rate, info.expected_frames, info.video) == (25, 25, 5, None)


def test_a_glob_reads_only_matching_files(folder: Path):
    assert _reds(f"{folder}/frame?.png") == [1, 2, 9]
    assert _reds(f"{folder}/**/*0.png") == [10, 30]


def test_brackets_in_an_existing_name_are_no_pattern(tmp_path: Path):
    folder = tmp_path / "clip [1]"
    folder.mkdir()
    _save(folder / "a.png", 7)
    assert _reds(folder) == [7]


def test_start_frames_and_stride_select(folder: Path):
    assert _reds(folder, start=1, stride=2) == [2, 10]
    assert _reds(folder, start=1, frames=2) == [2, 9]
    with open_frames(folder, start=1, stride=3) as reader:
        first, second = reader
    assert (first.index, first.pts, second.index, second.pts) == (0, 1, 1, 4)
    assert reader.info.expected_frames == 2


@pytest.mark.parametrize("selection", [{"start": -1}, {"frames": 0}, {"stride": 0}, {"frames": -3}])
def test_selections_out_of_range_are_refused(folder: Path, selection: dict[str, int]):
    with pytest.raises(InputError, match="expected start 0 or more, frames and stride 1 or more"):
        open_frames(folder, **selection)


def test_a_start_beyond_the_end_names_the_number_of_frames(folder: Path):
    with pytest.raises(InputError, match="start 5 is beyond the end; there are 5 frames"):
        open_frames(folder, start=5)


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "png", "webp", "tif", "tiff"])
def test_each_format_is_read(tmp_path: Path, suffix: str):
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (16, 16), (200, 100, 50)).save(path)
    (frame,) = open_frames(path)
    assert np.abs(frame.pixels.astype(int) - (200, 100, 50)).max() <= 3


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 5)])
def test_the_smallest_images_are_read(tmp_path: Path, size: tuple[int, int]):
    (frame,) = open_frames(_save(tmp_path / "a.png", 9, size))
    assert frame.pixels.shape == (size[1], size[0], 3)


def test_sixteen_bits_gray_palette_and_alpha_become_rgb(tmp_path: Path):
    colors = np.zeros((4, 6, 3), np.uint8)
    colors[..., 0], colors[..., 1], colors[:, 3:, 2] = 200, 100, 250
    cv2.imwrite(str(tmp_path / "sixteen.png"), colors[..., ::-1].astype(np.uint16) * 256)
    cv2.imwrite(str(tmp_path / "sixteen.tif"), colors[..., ::-1].astype(np.uint16) * 256)
    Image.fromarray(colors).quantize(2).save(tmp_path / "palette.png")
    alpha = np.dstack([colors, np.tile(np.uint8([0, 50, 100, 150, 200, 255]), (4, 1))])
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    for name in ("sixteen.png", "sixteen.tif", "palette.png", "alpha.png"):
        (frame,) = open_frames(tmp_path / name)
        assert np.abs(frame.pixels.astype(int) - colors).max() <= 1, name
    gray = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    Image.fromarray(gray).save(tmp_path / "gray.png")
    cv2.imwrite(str(tmp_path / "gray_sixteen.png"), gray.astype(np.uint16) * 256)
    Image.merge("LA", (Image.fromarray(gray), Image.new("L", (6, 4), 0))).save(tmp_path / "gray_alpha.png")
    Image.fromarray(gray > 100).save(tmp_path / "one_bit.png")
    for name, expected in (
        ("gray", gray),
        ("gray_sixteen", gray),
        ("gray_alpha", gray),
        ("one_bit", (gray > 100) * 255),
    ):
        (frame,) = open_frames(tmp_path / f"{name}.png")
        assert np.array_equal(frame.pixels, np.repeat(expected[..., None], 3, axis=2)), name


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :16] = 255  # a white corner, top left
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    Image.fromarray(np.ascontiguousarray(turned[orientation])).save(path, exif=exif, quality=95)
    (frame,) = open_frames(path)
    assert frame.pixels.shape == (32, 48, 3)
    assert np.abs(frame.pixels.astype(int) - upright).max() < 30


def test_errors_of_damaged_images_name_file_and_cause(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    (tmp_path / "text.png").write_text("no picture")
    Image.effect_noise((64, 64), 50).save(tmp_path / "half.tif")
    Image.effect_noise((64, 64), 50).save(tmp_path / "half.png")
    for half in (tmp_path / "half.tif", tmp_path / "half.png"):
        half.write_bytes(half.read_bytes()[:2000])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "bare").mkdir()
    (tmp_path / "shots" / "one").mkdir(parents=True)
    _save(tmp_path / "shots" / "one" / "1.png", 1)
    for name, message in (
        ("text.png", "text.png: the image cannot be decoded"),
        ("half.tif", "half.tif: the image cannot be decoded"),
        ("half.png", "half.png: the image cannot be decoded"),
        ("empty.jpg", "empty.jpg: the file is empty"),
        (
            "bare",
            "bare: the folder holds no images; expected images such as "
            "jpg, jpeg, png, webp, tif, tiff, bmp, heic, avif, exr",
        ),
        ("shots", "Fix: name one of its folders, e.g. .*/shots/one; for all of them: amc-batch --image-folders"),
        ("*.webp", r"\*.webp: the pattern matches no file"),
        ("e*", r"empty\.jpg: the image is empty"),
        ("bar*", r"bar\*: the pattern matches 1 files, but none is an image"),
    ):
        with pytest.raises(InputError, match=message):
            open_frames(f"{tmp_path}/{name}")
    assert capfd.readouterr().err == ""


def test_a_damaged_image_in_the_middle_is_an_error_at_its_place(folder: Path):
    (folder / "frame9.png").write_bytes(b"\x89PNG broken")
    with open_frames(folder) as reader:
        assert [next(reader).index, next(reader).index] == [0, 1]
        with pytest.raises(InputError, match=r"frame9\.png: the image cannot be decoded"):
            next(reader)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads all folders")
def test_a_folder_that_must_not_be_read(folder: Path):
    folder.chmod(0)
    try:
        for source in (folder, folder / "frame1.png", f"{folder}/frame?.png"):
            with pytest.raises(InputError, match="Permission denied"):
                open_frames(source)
    finally:
        folder.chmod(0o700)
