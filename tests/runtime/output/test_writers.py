"""Each kind of output, decoded again: pixels, edges and times."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from amcnet.runtime.errors import InputError, OutputError
from amcnet.runtime.explanation import Explanation
from amcnet.runtime.frame import Frame, MaskFrame, SourceInfo
from amcnet.runtime.output.cutout import Cutout
from amcnet.runtime.output.foreground import estimate_foreground
from amcnet.runtime.output.kinds import KINDS, require_kinds
from amcnet.runtime.output.matte import Matte
from amcnet.runtime.output.open_writer import open_writer
from amcnet.runtime.output.palette_png import davis_palette
from amcnet.runtime.output.rle import encode_counts, run_lengths

Floats = NDArray[np.float64]
RED, SIZE = (220, 30, 40), (160, 96)
VIDEOS = [kind for kind, described in KINDS.items() if Path(described.path).suffix in (".mp4", ".mkv", ".mov", ".webm")]


def _info(rate: int = 25) -> SourceInfo:
    return SourceInfo(name="test", time_base=Fraction(1, 1000), frame_rate=Fraction(rate))


def _scene(shift: int = 0, size: tuple[int, int] = SIZE) -> tuple[MaskFrame, Floats]:
    """A red disk with a soft edge of 12 px before blue and green; the frame, and its true opacity (H, W)."""
    width, height = size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    alpha = np.clip((height / 4 - np.hypot(x - width / 2 - shift, y - height / 2)) / 12 + 0.5, 0, 1)
    behind = np.stack([x * 0, 100 + 100 * (y > height / 2), 255 - x], axis=-1).clip(0, 255)
    pixels = np.rint(alpha[..., None] * RED + (1 - alpha[..., None]) * behind).astype(np.uint8)
    frame = Frame(pixels=pixels, index=shift, pts=40 * shift, pts_seconds=0.04 * shift)
    probability = (0.25 + 0.5 * alpha).astype(np.float32)  # of which the default edges make `alpha` again
    maps = tuple(np.full((2**level, 2 ** (level + 1)), 0.5, np.float32) for level in (4, 3, 2, 1, 0))
    explanation = Explanation(pixels[::2, ::2], maps, np.linspace(0, 0.9, 10, dtype=np.float32).reshape(5, 2))
    return MaskFrame(frame, probability >= 0.5, probability, explanation), alpha


def _write(kind: str, path: Path, frames: Sequence[MaskFrame], **options: Any) -> list[str]:
    with open_writer(kind, path, _info(), **options) as writer:
        for m in frames:
            writer.write(m)
    return writer.notes


def _decode(path: Path, pixel_format: str) -> tuple[list[Fraction], list[NDArray[np.uint8]]]:
    """Times in seconds, and images; the opacity of a WebM file is decoded by libvpx only."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        if path.suffix == ".webm":
            context = av.CodecContext.create("libvpx-vp9", "r")
        frames = [frame for packet in container.demux(stream) for frame in context.decode(packet)]
        times = [frame.pts * stream.time_base for frame in frames]
        return times, [frame.to_ndarray(format=pixel_format) for frame in frames]


# --- mattes


def test_a_matte_is_linear_between_the_edges_and_a_half_at_the_threshold() -> None:
    probability = np.linspace(0, 1, 1001, dtype=np.float32)[None]
    pixels = np.zeros((1, 1001, 3), np.uint8)
    m = MaskFrame(Frame(pixels, index=0, pts=0, pts_seconds=0.0), probability >= np.float32(0.6), probability)
    matte = Matte.make(0.6, (0.2, 0.7))
    alpha = matte.of(m)[0]
    expected = np.interp(probability[0], [0.2, 0.6, 0.7], [0, 127.5, 255])
    assert np.abs(alpha - expected).max() <= 1
    np.testing.assert_array_equal(alpha >= 128, m.mask[0])
    default = Matte.make(0.6)
    assert (default.low, default.high) == (0.3, 0.8)


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.73])
def test_a_matte_of_a_matte_is_the_same(threshold: float) -> None:
    matte = Matte.make(threshold)
    alpha = np.arange(256, dtype=np.uint8)[None]
    frame = Frame(np.zeros((1, 256, 3), np.uint8), index=0, pts=0, pts_seconds=0.0)
    np.testing.assert_array_equal(matte.of(MaskFrame(frame, alpha >= 128, matte.frame_probability(alpha))), alpha)


def test_the_mask_of_a_crf_overrides_the_probability() -> None:
    frame = Frame(np.zeros((1, 3, 3), np.uint8), index=0, pts=0, pts_seconds=0.0)
    m = MaskFrame(frame, np.array([[True, False, True]]), np.array([[0.4, 0.6, 0.6]], np.float32))
    assert Matte.make().of(m).tolist() == [[255, 0, 179]]


@pytest.mark.parametrize("edges", [(0.5, 0.7), (0.2, 0.5), (-0.1, 0.7), (0.2, 1.1), (0.8, 0.2)])
def test_edges_must_enclose_the_threshold(edges: tuple[float, float]) -> None:
    with pytest.raises(InputError, match=r"soft edges: got .* with threshold 0\.5; expected .* Fix: --soft-edges"):
        Matte.make(0.5, edges)


# --- foreground


def test_the_foreground_is_free_of_the_background() -> None:
    m, alpha = _scene()
    soft = (alpha > 0.1) & (alpha < 0.9)
    assert soft.sum() > 500
    foreground = estimate_foreground(m.frame.pixels, np.rint(255 * alpha).astype(np.uint8))
    np.testing.assert_array_equal(foreground[alpha == 1], m.frame.pixels[alpha == 1])
    wrong = [np.abs(image[soft].astype(float) - RED).mean() for image in (foreground, m.frame.pixels)]
    assert wrong[0] < 0.25 * wrong[1]


@pytest.mark.parametrize("value", [0, 255])
def test_foregrounds_of_empty_and_full_masks(value: int) -> None:
    pixels = _scene()[0].frame.pixels
    foreground = estimate_foreground(pixels, np.full(pixels.shape[:2], value, np.uint8))
    np.testing.assert_array_equal(foreground, pixels if value else 0 * pixels)


# --- cut-out objects, decoded and put over black and white


@pytest.mark.parametrize(
    ("kind", "name", "most"), [("alpha-png", "out", 6), ("alpha-prores", "a.mov", 6), ("alpha-webm", "a.webm", 12)]
)
def test_a_cut_out_object_has_no_halo_over_black_and_white(tmp_path: Path, kind: str, name: str, most: float) -> None:
    m, alpha = _scene()
    _write(kind, tmp_path / name, [m] * 3)
    if kind == "alpha-png":
        bgra = cv2.imread(str(tmp_path / name / "00000.png"), cv2.IMREAD_UNCHANGED)
        rgba = cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGBA)
    else:
        rgba = _decode(tmp_path / name, "rgba")[1][0]
    shown_alpha = rgba[..., 3:] / 255
    assert np.abs(shown_alpha[..., 0] - alpha).mean() < 0.01
    for ground in (0, 255):
        shown = shown_alpha * rgba[..., :3] + (1 - shown_alpha) * ground
        true = alpha[..., None] * RED + (1 - alpha[..., None]) * ground
        halo = alpha[..., None] * m.frame.pixels + (1 - alpha[..., None]) * ground
        edge = (alpha > 0) & (alpha < 1)
        assert np.abs(shown - true)[edge].mean() < most
        assert np.abs(shown - true)[edge].mean() < 0.6 * np.abs(halo - true)[edge].mean()
        assert np.abs(shown - true)[alpha == 0].mean() < 1, "nothing is left of the background"


def test_a_webm_file_declares_its_alpha_channel(tmp_path: Path) -> None:
    _write("alpha-webm", tmp_path / "a.webm", [_scene()[0]])
    with av.open(str(tmp_path / "a.webm")) as container:
        assert container.streams.video[0].metadata["alpha_mode"] == "1"


@pytest.mark.parametrize("kind", ["matte", "alpha-prores", "alpha-webm"])
def test_the_same_frames_give_the_same_file(tmp_path: Path, kind: str) -> None:
    files = set()
    for _ in range(12):
        # At a width that is no multiple of 16, where threads of swscale wrote into each other's rows.
        _write(kind, tmp_path / "video", [_scene(shift, size=(100, 60))[0] for shift in range(2)])
        files.add((tmp_path / "video").read_bytes())
    assert len(files) == 1


# --- mattes as videos, masks as images


def test_the_matte_is_lossless(tmp_path: Path) -> None:
    frames = [_scene(shift)[0] for shift in range(3)]
    _write("matte", tmp_path / "matte.mkv", frames)
    _write("matte-h264", tmp_path / "matte.mp4", frames)
    for m, exact, close in zip(
        frames, _decode(tmp_path / "matte.mkv", "gray")[1], _decode(tmp_path / "matte.mp4", "rgb24")[1], strict=True
    ):
        np.testing.assert_array_equal(exact, Matte.make().of(m))
        assert np.abs(close.astype(int) - exact[..., None]).mean() < 2


def test_palette_masks_equal_those_of_davis(tmp_path: Path) -> None:
    m = _scene()[0]
    _write("masks-davis", tmp_path, [m], name=lambda index: "bear.png")
    with Image.open(tmp_path / "bear.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), m.mask)
        assert image.getpalette()[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
    np.testing.assert_array_equal(
        cv2.imread(str(tmp_path / "bear.png"))[m.mask][0], davis_palette()[1][::-1], "of other readers too"
    )


# --- backgrounds


def _inside(alpha: Floats) -> NDArray[np.bool_]:
    return cv2.erode((alpha == 1).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0


def _outside(alpha: Floats) -> NDArray[np.bool_]:
    return cv2.erode((alpha == 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0


def test_the_background_is_replaced_by_a_color(tmp_path: Path) -> None:
    m, alpha = _scene()
    _write("background", tmp_path / "b.mp4", [m] * 2, background="#00ff20")
    shown = _decode(tmp_path / "b.mp4", "rgb24")[1][0].astype(int)
    true = alpha[..., None] * RED + (1 - alpha[..., None]) * [0, 255, 32]
    assert np.abs(shown - true)[_outside(alpha)].mean() < 4
    assert np.abs(shown - true)[_inside(alpha)].mean() < 4


def test_the_blurred_background_has_no_colors_of_the_object(tmp_path: Path) -> None:
    m, alpha = _scene()
    _write("background", tmp_path / "b.mp4", [m] * 2)
    shown = _decode(tmp_path / "b.mp4", "rgb24")[1][0].astype(int)
    assert np.abs(shown - RED)[_inside(alpha)].mean() < 5
    assert shown[_outside(alpha)][:, 0].mean() < 10, "the object's red shines around it"
    middle = shown[SIZE[1] // 2 - 1 : SIZE[1] // 2 + 1, :20, 1]
    assert np.abs(middle - 150).max() < 30, "the edge between the two greens is blurred"


def test_the_background_is_an_image_that_fills_the_frame(tmp_path: Path) -> None:
    image = np.zeros((300, 100, 3), np.uint8)
    image[100:200] = (10, 200, 90)  # the middle, in BGR; 60 of these rows are seen
    cv2.imwrite(str(tmp_path / "b.png"), image)
    m, alpha = _scene()
    _write("background", tmp_path / "b.mp4", [m] * 2, background=tmp_path / "b.png")
    shown = _decode(tmp_path / "b.mp4", "rgb24")[1][0].astype(int)
    assert np.abs(shown - [90, 200, 10])[_outside(alpha)].mean() < 4


def test_a_background_video_keeps_its_speed_and_repeats(tmp_path: Path) -> None:
    grays = [20, 120, 220]
    with av.open(str(tmp_path / "b.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10, width=32, height=32, pix_fmt="bgr0")
        for gray in grays:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), gray, np.uint8), "rgb24")))
        container.mux(stream.encode(None))
    frames = [_scene(shift)[0] for shift in range(20)]
    _write("background", tmp_path / "b.mp4", frames, background=tmp_path / "b.mkv")
    corners = [image[0, 0].mean() for image in _decode(tmp_path / "b.mp4", "rgb24")[1]]
    expected = [grays[int(0.04 * index / 0.1 + 1e-6) % 3] for index in range(20)]
    np.testing.assert_allclose(corners, expected, atol=4)


@pytest.mark.parametrize(("named", "says"), [("#12345", "expected a color such as '#00ff00'"), ("gone.png", "no such")])
def test_invalid_backgrounds_are_refused(tmp_path: Path, named: str, says: str) -> None:
    with pytest.raises(InputError, match=f"^background: .*{says}"):
        open_writer("background", tmp_path / "b.mp4", _info(), background=named)


# --- outlines


def test_contours_are_an_outline_only(tmp_path: Path) -> None:
    m, _ = _scene()
    _write("contours", tmp_path / "c.mp4", [m] * 2)
    change = np.abs(_decode(tmp_path / "c.mp4", "rgb24")[1][0].astype(int) - m.frame.pixels).max(axis=2)
    core = cv2.erode(m.mask.view(np.uint8), np.ones((3, 3), np.uint8), iterations=8) > 0
    far = cv2.dilate(m.mask.view(np.uint8), np.ones((3, 3), np.uint8), iterations=6) == 0
    assert change[core].mean() < 5
    assert change[far].mean() < 5
    assert (change > 60).sum() > 100


# --- lines


def _decoded_counts(text: str) -> list[int]:
    """The inverse of `encode_counts`, by the description of COCO's format."""
    lengths: list[int] = []
    groups = iter(ord(character) - 48 for character in text)
    for group in groups:
        value, shift = group & 31, 5
        while group & 32:
            group = next(groups)
            value |= (group & 31) << shift
            shift += 5
        if group & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
    return lengths


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7), (480, 854)])
def test_run_lengths_are_decoded_to_the_mask(share: float, size: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random(size) < share
    lengths = run_lengths(mask)
    assert _decoded_counts(encode_counts(lengths)) == lengths
    pixels = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    np.testing.assert_array_equal(pixels.reshape(size, order="F"), mask)


def test_run_lengths_are_read_by_pycocotools(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    rng = np.random.default_rng(1)
    masks = [rng.random((37, 53)) < 0.5, np.zeros((37, 53), bool), np.ones((37, 53), bool), _scene()[0].mask]
    frames = []
    for index, mask in enumerate(masks):
        pixels = np.zeros((*mask.shape, 3), np.uint8)
        frame = Frame(pixels, index=index, pts=40 * index, pts_seconds=0.04 * index)
        frames.append(MaskFrame(frame, mask, mask.astype(np.float32)))
    _write("rle", tmp_path / "rle.jsonl", frames)
    for mask, line in zip(masks, (tmp_path / "rle.jsonl").read_text().splitlines(), strict=True):
        row = json.loads(line)
        encoded = coco.encode(np.asfortranarray(mask.view(np.uint8)))
        assert row["segmentation"] == {"size": list(mask.shape), "counts": encoded["counts"].decode()}
        np.testing.assert_array_equal(coco.decode(row["segmentation"]), mask)
        assert (row["bbox"], row["area"]) == (coco.toBbox(encoded).tolist(), coco.area(encoded))


def test_boxes_and_rle_have_a_line_a_frame(tmp_path: Path) -> None:
    m = _scene(3)[0]
    nothing = MaskFrame(m.frame, np.zeros_like(m.mask), m.probability)
    _write("boxes", tmp_path / "boxes.csv", [m, nothing])
    _write("rle", tmp_path / "rle.jsonl", [m, nothing])
    rows = list(csv.DictReader((tmp_path / "boxes.csv").read_text().splitlines()))
    y, x = np.nonzero(m.mask)
    box = [x.min(), y.min(), x.max() - x.min() + 1, y.max() - y.min() + 1]
    assert list(rows[0].values()) == list(map(str, [3, 0.12, *box, len(x)]))
    assert list(rows[1].values()) == ["3", "0.12", "", "", "", "", "0"]
    lines = [json.loads(line) for line in (tmp_path / "rle.jsonl").read_text().splitlines()]
    assert (lines[0]["image_id"], lines[0]["seconds"], lines[0]["bbox"], lines[0]["area"]) == (3, 0.12, box, len(x))
    assert (lines[1]["bbox"], lines[1]["area"]) == ([0, 0, 0, 0], 0)


# --- all kinds


@pytest.mark.parametrize("kind", VIDEOS)
def test_videos_keep_irregular_times(tmp_path: Path, kind: str) -> None:
    times = [0, 17, 400, 433, 5000]
    path = tmp_path / KINDS[kind].path
    frames = []
    for index, pts in enumerate(times):
        m = _scene(index)[0]
        frame = Frame(m.frame.pixels, index=index, pts=pts, pts_seconds=pts / 1000)
        frames.append(MaskFrame(frame, m.mask, m.probability))
    assert _write(kind, path, frames) == []
    assert _decode(path, "rgb24")[0] == [Fraction(pts, 1000) for pts in times]


@pytest.mark.parametrize("kind", VIDEOS)
@pytest.mark.parametrize("size", [(1, 1), (3, 1), (65, 47), (2, 90)])
def test_videos_keep_every_size(tmp_path: Path, kind: str, size: tuple[int, int]) -> None:
    path = tmp_path / KINDS[kind].path
    _write(kind, path, [_scene(size=size)[0]] * 2)
    assert [image.shape[1::-1] for image in _decode(path, "rgb24")[1]] == [size] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_output_holds_the_frames_before(tmp_path: Path, kind: str) -> None:
    path = tmp_path / KINDS[kind].path

    def run() -> None:
        with open_writer(kind, path, _info()) as writer:
            for shift in range(3):
                writer.write(_scene(shift)[0])
                assert path.exists() == KINDS[kind].is_folder
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    if KINDS[kind].is_folder:
        assert sorted(file.name for file in path.iterdir()) == ["00000.png", "00001.png", "00002.png"]
    elif kind in VIDEOS:
        assert len(_decode(path, "rgb24")[0]) == 3
    elif kind == "explain-plot":
        assert path.read_text().endswith("</svg>\n")
    else:
        assert len(path.read_text().splitlines()) == {"boxes": 4, "explain-scores": 16}.get(kind, 3)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", [kind for kind, described in KINDS.items() if not described.is_folder])
def test_without_a_frame_nothing_is_written(tmp_path: Path, kind: str) -> None:
    assert _write(kind, tmp_path / KINDS[kind].path, []) == []
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError, match="create its folder first"), open_writer(kind, tmp_path / "a" / "b", _info()):
        pass


def test_unknown_kinds_are_refused(tmp_path: Path) -> None:
    assert require_kinds(["overlay", "masks", "overlay"]) == ["masks", "overlay"]
    for wrong, got in ((["mask"], "'mask'"), ([], "nothing"), ([""], "''")):
        with pytest.raises(InputError, match=f"write: got {got}, expected some of masks, .*Fix: --write masks,overlay"):
            require_kinds(wrong)
    with pytest.raises(InputError, match="got 'page'"):
        open_writer("page", tmp_path, _info())
    assert len({kind.path for kind in KINDS.values()}) == len(KINDS)


def test_the_cut_out_of_a_frame_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Callable[..., Any]] = []
    monkeypatch.setattr(
        "amcnet.runtime.output.cutout.estimate_foreground",
        lambda pixels, alpha: calls.append(pixels) or pixels,
    )
    cutout = Cutout(Matte.make())
    first, second = _scene(0)[0], _scene(1)[0]
    for m in (first, first, second, second):
        cutout.rgba(m)
        cutout.foreground(m)
    assert [pixels is m.frame.pixels for pixels, m in zip(calls, (first, second), strict=True)] == [True, True]
