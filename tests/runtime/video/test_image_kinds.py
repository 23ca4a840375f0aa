"""Images that need care: several frames in a file, floating point, unusual sequences."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from amcnet.runtime.errors import InputError
from amcnet.runtime.video.reader import open_frames

COLORS = [(220, 30, 40), (20, 200, 60), (30, 60, 230)]


def _flat(color: tuple[int, int, int], size: tuple[int, int] = (32, 24)) -> Image.Image:
    return Image.new("RGB", size, color)


def _save_animation(path: Path, delays_ms: list[int]) -> Path:
    first, *others = [_flat(color) for color in COLORS]
    options = {".webp": {"lossless": True}, ".avif": {"quality": 90, "subsampling": "4:4:4"}}.get(path.suffix, {})
    first.save(path, save_all=True, append_images=others, duration=delays_ms, loop=0, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.gif", "a.apng", "a.avif"])
def test_each_frame_of_an_animation_has_its_time(tmp_path: Path, name: str) -> None:
    made = _save_animation(tmp_path / name.replace("apng", "png"), [200, 1000, 70]).rename(tmp_path / name)
    with open_frames(made) as reader:
        frames = list(reader)
        assert (reader.truncated, reader.notes) == (None, [])
        time_base = reader.info.time_base
    assert [frame.pts_seconds for frame in frames] == pytest.approx([0, 0.2, 1.2])
    assert [float(frame.duration * time_base) for frame in frames if frame.duration] == pytest.approx([0.2, 1.0, 0.07])
    for frame, color in zip(frames, COLORS, strict=True):
        assert np.abs(frame.pixels.astype(int) - color).max() <= 12, name


def test_a_cut_animated_webp_keeps_its_whole_frames(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)) for _ in range(6)]
    whole = tmp_path / "a.webp"
    images[0].save(whole, save_all=True, append_images=images[1:], duration=40, lossless=True)
    cut = tmp_path / "cut.webp"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with open_frames(cut) as reader:
        assert len(list(reader)) == 3
        assert reader.truncated == f"{cut}: cut short: it ends after 3 frames"


def test_an_animated_webp_needs_a_recent_opencv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _save_animation(tmp_path / "a.webp", [40, 40, 40])
    monkeypatch.delattr(cv2, "imdecodeanimation")
    with pytest.raises(
        InputError, match=r"got an animated WebP and OpenCV .* Fix: pip install 'opencv-python-headless>=4.12'"
    ):
        open_frames(path)


@pytest.mark.parametrize("big", [False, True])
def test_each_page_of_a_tiff_is_a_frame(tmp_path: Path, big: bool) -> None:
    path = tmp_path / "scan.tif"
    pages = [_flat(color) for color in COLORS * 7]
    pages[0].save(path, save_all=True, append_images=[*pages[1:], _flat((9, 9, 9), (8, 6))], big_tiff=big)
    with open_frames(path, start=1) as reader:
        frames = list(reader)
        assert reader.info.expected_frames == 20
        assert reader.notes == [f"{path}: 1 of 22 pages are thumbnails, masks or of another size, and are left out"]
    assert [frame.pts for frame in frames] == list(range(1, 21))
    assert [tuple(frame.pixels[0, 0]) for frame in frames] == (COLORS * 7)[1:]


def test_floating_point_tiff_is_scaled_to_8_bits(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 32 * 24, dtype=np.float32).reshape(24, 32)
    expected = np.repeat(np.rint(ramp * 255)[..., None], 3, axis=2)
    colors = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=-1)
    for name, values, wanted in (
        ("gray", ramp, expected),
        ("large", ramp * 255, expected),
        ("highlights", ramp * 1.2, np.minimum(np.rint(ramp * 1.2 * 255), 255)[..., None].repeat(3, 2)),
        ("color", colors, np.rint(colors * 255)),
        ("holes", np.where(ramp > 0.5, np.nan, ramp), expected * (ramp <= 0.5)[..., None]),
    ):
        path = tmp_path / f"{name}.tif"
        cv2.imwrite(str(path), values[..., ::-1] if values.ndim == 3 else values.astype(np.float32))
        (frame,) = open_frames(path)
        assert np.abs(frame.pixels.astype(int) - wanted).max() <= 1, name
    Image.fromarray(ramp).save(tmp_path / "pillow.tif")
    (frame,) = open_frames(tmp_path / "pillow.tif")
    assert np.abs(frame.pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("suffix", ["bmp", "ppm", "jp2", "tga"])
def test_a_folder_accepts_the_formats_of_single_images(tmp_path: Path, suffix: str) -> None:
    for index, color in enumerate(COLORS):
        _flat(color).save(tmp_path / f"f{index}.{suffix}")
    for source in (tmp_path, f"{tmp_path}/*.{suffix}"):
        with open_frames(source) as reader:
            frames = list(reader)
        assert [int(np.argmax(frame.pixels[3, 3])) for frame in frames] == [0, 1, 2]
    (frame,) = open_frames(tmp_path / f"f1.{suffix}")
    assert np.abs(frame.pixels.astype(int) - COLORS[1]).max() <= 4


def _notes(folder: Path, *names: str) -> list[str]:
    for name in names:
        _flat(COLORS[0]).save(folder / name)
    with open_frames(folder) as reader:
        assert len(list(reader)) == len(names)
        return [note.removeprefix(f"{folder}: ") for note in reader.notes]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a1.png", "a2.png", "a3.png"], []),
        (["a5.png", "a10.png", "a15.png"], []),  # every fifth frame
        (["one.png", "two.png"], []),
        (
            ["a1.png", "a2.png", "a5.png"],
            ["the numbering has gaps (2 to 5); the images are read as consecutive frames"],
        ),
        (["a1.png", "a01.png", "a2.png"], ["a01.png, a1.png have the same number; each is a frame of its own"]),
        (["a1.png", "a1.jpg", "a2.png"], ["a1.jpg, a1.png have the same number; each is a frame of its own"]),
        (
            ["f1.jpg", "f1_mask.png", "f2.jpg", "f2_mask.png"],
            [
                "f1_mask.png, f2_mask.png look like masks of the other images and are read as frames. "
                "Fix: name the images by a quoted pattern, e.g. 'frames/*.jpg'"
            ],
        ),
        (["alpha.png", "mask.png"], []),
    ],
)
def test_unusual_sequences_of_images_are_noted(tmp_path: Path, names: list[str], expected: list[str]) -> None:
    assert _notes(tmp_path, *names) == expected


def test_videos_among_the_images_are_noted(tmp_path: Path) -> None:
    for name in ("b.MP4", "a.mov", ".c.mp4", "notes.txt"):
        (tmp_path / name).touch()
    assert _notes(tmp_path, "1.png", "2.png") == [
        f"the images are read, not a.mov and 1 more. Fix: for a video, name it: {tmp_path / 'a.mov'}"
    ]


def test_numbered_patterns(tmp_path: Path) -> None:
    for number, color in zip((1, 2, 10), COLORS, strict=True):
        _flat(color).save(tmp_path / f"f{number:03d}.png")
    _flat(COLORS[0]).save(tmp_path / "f7.png")
    _flat(COLORS[0]).save(tmp_path / "g001.png")
    for pattern, count in (("f%03d.png", 3), ("f%d.png", 4)):
        with open_frames(tmp_path / pattern) as reader:
            assert len(list(reader)) == count
    with pytest.raises(InputError, match=r"h%d\.png: the pattern matches no image"):
        open_frames(tmp_path / "h%d.png")


def test_images_of_several_frames_in_a_folder_give_their_first(tmp_path: Path) -> None:
    _flat(COLORS[1]).save(tmp_path / "1.png")
    with_thumbnail = [_flat(COLORS[1]), _flat(COLORS[0], (16, 12))]
    with_thumbnail[0].save(tmp_path / "2.tif", save_all=True, append_images=with_thumbnail[1:])
    with open_frames(tmp_path) as reader:
        assert len(list(reader)) == 2
        assert reader.notes == []
    _save_animation(tmp_path / "3.webp", [40, 40, 40])
    _save_animation(tmp_path / "4.png", [40, 40, 40])
    for name in ("6.gif", "7.avif"):
        _save_animation(tmp_path / name, [40, 40, 40])
    pages = [_flat(color) for color in COLORS]
    pages[0].save(tmp_path / "5.tif", save_all=True, append_images=pages[1:])
    with open_frames(tmp_path) as reader:
        frames = list(reader)
        assert len(frames) == 7
        for frame in frames[2:]:
            assert np.abs(frame.pixels.astype(int) - COLORS[0]).max() <= 12
        assert reader.notes == [
            f"{tmp_path}: several frames in 3.webp and 4 more; each image of a folder is one frame, so the first one "
            f"is read. Fix: for all frames, name the file: {tmp_path / '3.webp'}"
        ]
