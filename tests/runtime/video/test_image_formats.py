"""Image formats beyond 8-bit JPEG and PNG: HEIF photos, TIFF of all sample types, PNM, linear light, refused kinds."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from amcnet.runtime.errors import InputError
from amcnet.runtime.video.reader import open_frames

WIDTH, HEIGHT = 48, 32


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    """A ramp with a red corner, (32, 48, 3) uint8."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    rgb = np.stack([x * 5, y * 7, 255 - x * 5], axis=-1).astype(np.uint8)
    rgb[:8, :12] = (220, 20, 30)
    return rgb


def _read(path: Path) -> NDArray[np.int64]:
    with open_frames(path) as reader:
        (frame,) = reader
        assert (reader.notes, reader.truncated) == ([], None)
    return frame.pixels.astype(np.int64)


def _write_tiff(path: Path, image: NDArray[Any], **tags: int | list[int]) -> Path:
    """An uncompressed little-endian TIFF of one strip, (H, W) or (H, W, C); `tags` by their numbers as "t259"."""
    samples = 1 if image.ndim == 2 else image.shape[2]
    kinds = {"u": 1, "i": 2, "f": 3}
    entries: dict[int, tuple[int, list[int]]] = {
        256: (4, [image.shape[1]]),
        257: (4, [image.shape[0]]),
        258: (3, [image.dtype.itemsize * 8] * samples),
        259: (3, [1]),
        262: (3, [1 if samples < 3 else 2]),
        277: (3, [samples]),
        278: (4, [image.shape[0]]),
        279: (4, [image.nbytes]),
        339: (3, [kinds[image.dtype.kind]] * samples),
    }
    for name, value in tags.items():
        entries[int(name[1:])] = (3, value if isinstance(value, list) else [value])
    entries[273] = (4, [8])
    lists, directory = b"", struct.pack("<H", len(entries))
    for tag, (kind, values) in sorted(entries.items()):
        stored = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(stored) > 4:
            place, lists = 8 + image.nbytes + len(lists), lists + stored
            stored = struct.pack("<I", place)
        directory += struct.pack("<HHI", tag, kind, len(values)) + stored.ljust(4, b"\0")
    head = struct.pack("<2sHI", b"II", 42, 8 + image.nbytes + len(lists))
    path.write_bytes(head + image.tobytes() + lists + directory + bytes(4))
    return path


@pytest.mark.parametrize("turns", [0, 1])
def test_a_photo_made_of_tiles_is_put_together(tmp_path: Path, tiled_avif: Callable[..., bytes], turns: int) -> None:
    y, x = np.mgrid[:150, :200]
    rgb = np.stack([x, y, 255 - x], axis=-1).astype(np.uint8)
    rgb[20:60, 130:170] = (200, 30, 30)
    path = tmp_path / "photo.avif"
    path.write_bytes(tiled_avif(rgb, 64, turns=turns))
    assert np.abs(_read(path) - np.rot90(rgb, turns)).max() <= 24


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_upright_beside_its_exif(tmp_path: Path, picture: NDArray[np.uint8], orientation: int) -> None:
    """`irot` and `imir` count; PyAV cannot list the side data of frames that have EXIF."""
    turned = {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.swapaxes(0, 1),
        6: np.rot90(picture),
        7: picture[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(picture, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored, image = exif.tobytes(), Image.fromarray(np.ascontiguousarray(turned[orientation]))
    for name in ("photo.avif", "photo.jpg"):  # the second is a photo with the wrong suffix
        image.save(tmp_path / name, "avif", exif=stored, quality=90, subsampling="4:4:4")
        assert np.abs(_read(tmp_path / name) - picture).max() <= 24, name


def test_a_damaged_photo_is_named(tmp_path: Path, tiled_avif: Callable[..., bytes], picture: NDArray[np.uint8]) -> None:
    path = tmp_path / "photo.avif"
    whole = tiled_avif(picture, 64)
    for length in (40, 200, len(whole) // 2, len(whole) - 200):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"photo\.avif: the HEIF photo cannot be decoded"):
            open_frames(path)
    path.write_bytes(whole.replace(b"grid", b"iovl"))
    with pytest.raises(InputError, match=r"got a HEIF photo of the kind 'iovl', .* Fix: heif-convert"):
        open_frames(path)


def test_a_folder_takes_photos(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    for index in range(3):
        Image.fromarray(picture).save(tmp_path / f"{index}.avif", quality=90, subsampling="4:4:4")
        Image.fromarray(picture).quantize(64).save(tmp_path / f"{index}.gif")
    with open_frames(tmp_path) as reader:
        assert len(list(reader)) == 6


@pytest.mark.parametrize(
    ("dtype", "factor", "divisor"),
    [
        ("u2", 257, 1),
        ("i2", 1, 1),
        ("i2", 128, 1),
        ("i1", 1, 2),
        ("u4", 1, 1),
        ("i4", 257, 1),
        ("u4", 16843009, 1),
        ("f4", 1, 255),
        ("f8", 1, 255),
        ("f8", 1, 1),
    ],
)
def test_sample_types_of_tiff(
    tmp_path: Path, picture: NDArray[np.uint8], dtype: str, factor: int, divisor: int
) -> None:
    gray = picture[..., 0]
    values = (gray.astype(np.float64) * factor / divisor).astype(dtype)
    read = _read(_write_tiff(tmp_path / "a.tif", values))
    assert np.abs(read - gray[..., None]).max() <= 2


def test_negative_samples_are_black(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    gray = picture[..., 0].astype(np.int16)
    read = _read(_write_tiff(tmp_path / "a.tif", gray - 100))
    assert np.array_equal(read[..., 0], np.maximum(gray - 100, 0))


@pytest.mark.parametrize("depth", [8, 16])
def test_colors_below_straight_alpha_are_kept(tmp_path: Path, picture: NDArray[np.uint8], depth: int) -> None:
    alpha = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    image = np.concatenate([picture, alpha], axis=2)
    if depth == 16:
        image = image.astype(np.uint16) * 257
    assert np.abs(_read(_write_tiff(tmp_path / "a.tif", image, t338=2)) - picture).max() <= 1


@pytest.mark.parametrize(
    ("dtype", "channels", "tags", "got"),
    [
        ("u1", 1, {"t259": 50000}, "compression Zstandard"),
        ("u1", 3, {"t259": 50002}, "compression JPEG XL"),
        ("u1", 3, {"t259": 65000}, "compression of the number 65000"),
        ("f2", 1, {}, "16-bit floating point"),
        ("f4", 3, {"t284": 2}, "floating point with a plane for each channel"),
        ("u2", 4, {"t262": 5}, "CMYK of 16 bits"),
        ("u1", 5, {"t338": [0, 0]}, "5 channels"),
    ],
)
def test_tiff_that_opencv_reads_wrongly(
    tmp_path: Path, dtype: str, channels: int, tags: dict[str, Any], got: str
) -> None:
    image = np.zeros((HEIGHT, WIDTH, channels) if channels > 1 else (HEIGHT, WIDTH), dtype)
    path = _write_tiff(tmp_path / "a.tif", image, **tags)
    with pytest.raises(InputError, match=rf"a\.tif: got a TIFF with {got}.*expected .* Fix: save"):
        open_frames(path)


def test_damaged_tiff_headers_are_named(tmp_path: Path) -> None:
    """BigTIFF with a directory of 2**60 entries, and one beyond the end of all files."""
    for offset in (16, 2**64 - 1):
        (tmp_path / "a.tif").write_bytes(struct.pack("<2sHHHQQ", b"II", 43, 8, 0, offset, 2**60))
        with pytest.raises(InputError, match=r"a\.tif: the image cannot be decoded"):
            open_frames(tmp_path / "a.tif")


def test_a_mask_beside_the_image_is_no_frame(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    image, mask = Image.fromarray(picture), Image.new("1", (WIDTH, HEIGHT))
    mask.encoderinfo = {"tiffinfo": {254: 4}}
    image.save(tmp_path / "a.tif", save_all=True, append_images=[mask])
    assert np.array_equal(_read(tmp_path / "a.tif"), picture)


def _icc_profile(name: str, *, mluc: bool) -> bytes:
    """A profile whose only tag is its description."""
    wide = name.encode("utf-16-be")
    described = (
        struct.pack(">4sIII2s2sII", b"mluc", 0, 1, 12, b"en", b"US", len(wide), 28) + wide
        if mluc
        else struct.pack(">4sII", b"desc", 0, len(name) + 1) + name.encode() + b"\0"
    )
    head = bytes(12) + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(88)
    return head + struct.pack(">I4sII", 1, b"desc", 144, len(described)) + described


@pytest.mark.parametrize("mluc", [False, True])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "avif"])
def test_colors_that_are_not_srgb_are_noted(
    tmp_path: Path, picture: NDArray[np.uint8], suffix: str, mluc: bool
) -> None:
    for index, name in enumerate(("Display P3", "sRGB IEC61966-2.1", "Display P3", "Adobe RGB (1998)")):
        Image.fromarray(picture).save(tmp_path / f"{index}.{suffix}", icc_profile=_icc_profile(name, mluc=mluc))
    with open_frames(tmp_path) as reader:
        assert len(list(reader)) == 4
        assert reader.notes == [
            f"{tmp_path}: colors in {profile} in {files}; they are read as sRGB. "
            "Fix where the exact colors matter: convert to sRGB first"
            for profile, files in (("Display P3", f"0.{suffix} and 1 more"), ("Adobe RGB (1998)", f"3.{suffix}"))
        ]


def test_pnm_values_go_up_to_their_maximum(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    gray = picture[..., 0]
    size = f"{WIDTH} {HEIGHT}"
    files = {
        "ten.ppm": f"P6 {size} 1023\n".encode() + np.rint(picture * (1023 / 255)).astype(">u2").tobytes(),
        "seven.pgm": f"P5\n{size}\n100\n".encode() + np.rint(gray * (100 / 255)).astype("u1").tobytes(),
        "text.ppm": f"P3\n# a comment\n{size}\n255\n{' '.join(map(str, picture.ravel()))}\n".encode(),
        "wide.pgm": f"P5 {size} 65535\n".encode() + (gray.astype(">u2") * 257).tobytes(),
    }
    for name, stored in files.items():
        (tmp_path / name).write_bytes(stored)
        expected = gray[..., None] if name.endswith("pgm") else picture
        assert np.abs(_read(tmp_path / name) - expected).max() <= 2, name


def test_linear_light_becomes_srgb(tmp_path: Path) -> None:
    light = np.tile(np.linspace(0, 1.5, WIDTH, dtype=np.float32)[:, None], (HEIGHT, 1, 3))
    cv2.imwrite(str(tmp_path / "a.hdr"), light)
    encoder = av.CodecContext.create("exr", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = WIDTH, HEIGHT, "gbrpf32le", Fraction(1, 25)
    frame = av.VideoFrame(WIDTH, HEIGHT, "gbrpf32le")
    for plane in frame.planes:
        rows = np.zeros((HEIGHT, plane.line_size // 4), np.float32)
        rows[:, :WIDTH] = light[..., 0]
        plane.update(rows.tobytes())
    frame.pts = 0
    (tmp_path / "a.exr").write_bytes(b"".join(bytes(packet) for packet in encoder.encode(frame)))
    clipped = np.minimum(light, 1)
    expected = 255 * np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)
    for name, tolerance in (("a.exr", 1), ("a.hdr", 3)):
        assert np.abs(_read(tmp_path / name) - expected).max() <= tolerance, name
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:100])
        with pytest.raises(InputError, match=f"{name}: the image cannot be decoded"):
            open_frames(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jxl", b"\xff\x0a\0\0", "got a JPEG XL image; expected .* Fix: djxl"),
        ("a.pdf", b"%PDF-1.7\n", "got a PDF document; .* Fix: pdftoppm"),
        ("a.svg", b'<?xml version="1.0"?>\n<svg width="9"/>', "got an SVG drawing; .* Fix: rsvg-convert"),
        ("a.mp4", b"\n<!DOCTYPE html><title>404</title>", "got a web page, perhaps the error page of a download"),
        ("a.NEF", b"II*\0", "got a camera's raw image; .* Fix: develop it"),
    ],
)
def test_what_is_no_image_or_video_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_frames(tmp_path / name)
