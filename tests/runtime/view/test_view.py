"""`amc-view`: the measures of a run, its page, and the page in a browser."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import av
import cv2
import numpy as np
import pytest
from masks import write_mask
from numpy.typing import NDArray

from amcnet.runtime.infer import InferOptions, infer
from amcnet.runtime.output import frame_list
from amcnet.runtime.view import cli, page
from amcnet.runtime.view.mask_series import MaskSeries, small_mask
from amcnet.runtime.view.recorded_run import RecordedRun
from amcnet.runtime.view.time_chart import drawn_frames

MakeClip = Callable[..., Path]
View = Callable[..., tuple[int, str, str]]
FRAMES = 8


@pytest.fixture
def view(command_line: Callable[[str, Callable[[], int]], View]) -> View:
    """`view(*arguments) -> (exit status, stdout, stderr)`."""
    return command_line("amc-view", cli.main)


@pytest.fixture
def run(tmp_path: Path, make_clip: MakeClip, amcnet_onnx: Path) -> Path:
    """The folder of a run over a clip with an awkward name."""
    clip = make_clip(tmp_path / "a <b>&.mp4", frames=FRAMES)
    infer(InferOptions(source=clip, output=tmp_path / "run #1", amcnet=amcnet_onnx))
    return tmp_path / "run #1"


def _rectangle(width: int, *, left: int = 0, size: tuple[int, int] = (20, 10)) -> NDArray[np.bool_]:
    mask = np.zeros(size[::-1], bool)
    mask[:, left : left + width] = True
    return mask


def _write(folder: Path, masks: list[NDArray[np.bool_]], **report: Any) -> Path:
    """A run of `masks` at 25 frames per second without an overlay."""
    names = [write_mask(folder / "masks", index, mask).name for index, mask in enumerate(masks)]
    rows = [{"mask": name, "source": index, "seconds": index / 25} for index, name in enumerate(names)]
    (folder / "run.json").write_text(json.dumps({"frame_list": rows, "complete": True} | report))
    return folder


def _data(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="run">(.+)</script>', text)
    assert found is not None
    return json.loads(found[1])


def _decoded(png: str) -> NDArray[np.uint8]:
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(png), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert decoded is not None
    return np.asarray(decoded, np.uint8)


# --- measures


def test_measures_of_area_and_stability(tmp_path: Path) -> None:
    masks = [
        _rectangle(4),
        _rectangle(4),
        _rectangle(4, left=2),
        _rectangle(0),
        _rectangle(0),
        _rectangle(5, size=(10, 10)),
    ]
    series = MaskSeries.read(RecordedRun.read(_write(tmp_path, masks)).masks)
    assert series.size == (20, 10)
    assert series.areas == pytest.approx([0.2, 0.2, 0.2, 0, 0, 0.5])
    assert series.steadiness == [None, 1, pytest.approx(1 / 3), 0, 1, None]
    assert series.mean_steadiness == pytest.approx((1 + 1 / 3 + 0 + 1) / 4)
    assert series.least_steady() == [3], "frame 2 is the neighbor of a lower one"


def test_the_least_stable_frames_are_listed_apart() -> None:
    values = [None, *[1.0] * 999]
    for frame, value in {100: 0.5, 105: 0.4, 300: 0.2, 301: 0.3, 900: 0.9}.items():
        values[frame] = value
    series = MaskSeries(size=(8, 8), areas=[0.5] * 1000, steadiness=values)
    assert series.least_steady() == [300, 105, 900]


def test_a_small_mask_keeps_its_shape(tmp_path: Path) -> None:
    large = np.zeros((540, 960), bool)
    large[100:300, 200:600] = True
    small = _decoded(small_mask(write_mask(tmp_path, 0, large)))
    assert small.shape == (270, 480)
    assert np.array_equal(small == 255, large[::2, ::2])


def test_a_long_curve_keeps_its_extremes() -> None:
    values: list[float | None] = [0.5] * 100_000
    values[4321], values[70_001], values[0] = 0.0, 1.0, None
    frames = drawn_frames(values)
    assert len(frames) <= 1000
    assert {4321, 70_001} <= set(frames)
    assert drawn_frames(values[:1000]) == list(range(1000))


# --- the page


def test_a_page_shows_the_run(run: Path, view: View) -> None:
    status, out, err = view(run)
    assert (status, out, err) == (0, f"{run / 'page.html'}\n", "")
    text = (run / "page.html").read_text()
    data = _data(text)
    assert data["seconds"] == pytest.approx([index / 25 for index in range(FRAMES)])
    assert len(data["areas"]) == len(data["steadiness"]) == FRAMES
    for index in range(FRAMES):
        mask = cv2.imread(str(run / "masks" / f"{index:05d}.png"), cv2.IMREAD_GRAYSCALE)
        assert np.array_equal(_decoded(data["masks"][str(index)]), mask)
    video = re.search(r'<script type="text/plain" id="video" data-type="video/mp4">(.+)</script>', text)
    assert video is not None
    assert base64.b64decode(video[1]) == (run / "overlay.mp4").read_bytes()
    report = json.loads((run / "run.json").read_text())
    assert all(f"<td>{stage}</td>" in text for stage in report["latency_ms"])
    assert "<h1>a &lt;b&gt;&amp;.mp4</h1>" in text
    assert "<b>&.mp4" not in text
    assert not re.search(r"https?://|<link rel=\"stylesheet|<script src", text), "it loads nothing"


def test_a_large_video_is_linked(run: Path, view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "EMBEDDED_VIDEO_BYTES", 10)
    (tmp_path / "pages").mkdir()
    assert view(run, "-o", tmp_path / "pages" / "one.html")[0] == 0
    text = (tmp_path / "pages" / "one.html").read_text()
    assert 'id="video"' not in text
    link = re.search(r'<video [^>]*src="([^"]+)"', text)
    assert link is not None
    assert "#" not in link[1]
    assert (tmp_path / "pages" / unquote(link[1])).resolve() == run / "overlay.mp4"


def test_frames_are_numbered_as_in_the_source(tmp_path: Path, make_clip: MakeClip, amcnet_onnx: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=6)
    infer(InferOptions(source=clip, output=tmp_path / "run", amcnet=amcnet_onnx, start=2))
    run = RecordedRun.read(tmp_path / "run")
    assert run.seconds[0] == pytest.approx(2 / 25)
    assert run.video_delay_seconds() == pytest.approx(-2 / 25), "the overlay begins at 0"


def test_a_long_run_shows_some_masks_and_all_measures(
    tmp_path: Path, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "EMBEDDED_MASKS", 3)
    masks = [_rectangle(4) for _ in range(12)]
    masks[7] = _rectangle(2)
    assert view(_write(tmp_path, masks))[0] == 0
    data = _data((tmp_path / "page.html").read_text())
    assert len(data["areas"]) == 12
    assert [int(frame) for frame in data["masks"]] == [0, 4, 6, 7, 8], (
        "every fourth, and the least steady with its last"
    )


def test_a_list_of_frames_in_a_file_is_read(
    tmp_path: Path, make_clip: MakeClip, amcnet_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_list, "_LONGEST_IN_REPORT", 2)
    clip = make_clip(tmp_path / "clip.mp4", frames=4)
    infer(InferOptions(source=clip, output=tmp_path / "run", amcnet=amcnet_onnx))
    run = RecordedRun.read(tmp_path / "run")
    assert [path.name for path in run.masks] == [f"{index:05d}.png" for index in range(4)]


def test_outputs_notes_and_an_early_end_are_shown(tmp_path: Path, view: View) -> None:
    outputs = {"masks": {"path": "masks"}, "rle": {"path": "rle.jsonl"}, "gone": {"path": "gone.mp4"}}
    files = {"amcnet": {"name": "x.onnx", "trained": False}}
    _write(tmp_path, [_rectangle(3)], outputs=outputs, complete=False, notes=["a <note>"], settings={"files": files})
    (tmp_path / "rle.jsonl").write_text("{}\n")
    assert view(tmp_path)[0] == 0
    text = (tmp_path / "page.html").read_text()
    assert '<a href="rle.jsonl">rle</a>' in text
    assert "gone.mp4</td>" not in text
    assert re.findall("<li>(.+?)</li>", text) == [
        "the run ended early, after frame 0",
        "x.onnx has untrained weights: the masks are meaningless",
        "a &lt;note&gt;",
    ]
    assert "<video" not in text


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: (run / "run.json").unlink(), "expected the output folder of a run. Fix: amc-infer VIDEO -o"),
        (lambda run: (run / "run.json").write_text("[1"), "expected the output folder of a run"),
        (lambda run: (run / "run.json").write_text('{"complete": false}'), "the run was killed"),
        (lambda run: (run / "masks").rename(run / "other"), "has no masks"),
        (
            lambda run: (run / "masks" / "00001.png").write_bytes(b"\x89PNG"),
            "00001.png is missing or not a complete PNG",
        ),
    ],
    ids=["no run", "damaged", "killed", "no masks", "damaged mask"],
)
def test_folders_without_a_run_are_refused(
    tmp_path: Path, view: View, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(_write(tmp_path, [_rectangle(3), _rectangle(4)]))
    status, out, err = view(tmp_path)
    assert (status, out) == (2, "")
    assert message in err
    assert not (tmp_path / "page.html").exists()


# --- in a browser


@pytest.mark.slow
def test_the_page_in_a_browser(run: Path, view: View, open_chromium: Callable[[], Any]) -> None:
    chromium = open_chromium()
    assert view(run)[0] == 0
    address = (run / "page.html").as_uri()
    chromium.open(f"{address}#frame=5")
    assert chromium.evaluate("document.querySelector('output').textContent").startswith(f"frame 5/{FRAMES - 1}, 0.20 s")
    with av.open(str(run / "overlay.mp4")) as container:
        overlay = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)
    for frame in (6, 2, 0, FRAMES - 1):
        pixels = np.array(chromium.evaluate(_SEEK_AND_READ % frame)).reshape(*overlay.shape[1:3], 4)[..., :3]
        distances = np.abs(overlay - pixels).mean(axis=(1, 2, 3))
        assert distances.argmin() == frame, "the slider shows that frame of the overlay"
        assert distances[frame] < 4, "gray levels: the decoders differ in the conversion of colors"
        assert f"frame {frame}/" in chromium.evaluate("document.querySelector('output').textContent")
        mask = chromium.evaluate("document.querySelector('#mask').src")
        assert mask.endswith(small_mask(run / "masks" / f"{frame:05d}.png"))
    chromium.evaluate("document.querySelector('[data-step=\"-1\"]').click()")
    assert f"frame {FRAMES - 2}/" in chromium.evaluate("document.querySelector('output').textContent")
    chromium.evaluate(_PLAY_TO_THE_END)
    assert f"frame {FRAMES - 1}/" in chromium.evaluate("document.querySelector('output').textContent")
    chromium.resize(390, 844)
    assert chromium.evaluate("document.documentElement.scrollWidth") == 390, "nothing is wider than a phone"
    assert chromium.requests == [f"{address}#frame=5".partition("#")[0]]


_SEEK_AND_READ = """new Promise(done => {
  const video = document.querySelector("video"), slider = document.querySelector("input");
  video.addEventListener("seeked", () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0);
    done(Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data));
  }, {once: true});
  slider.value = %d;
  slider.dispatchEvent(new Event("input"));
})"""
_PLAY_TO_THE_END = """new Promise(done => {
  const video = document.querySelector("video");
  video.addEventListener("ended", () => requestAnimationFrame(() => requestAnimationFrame(done)), {once: true});
  video.currentTime = 0;
  video.play();
}).then(() => true)"""


def test_a_run_of_one_image_has_no_curves(tmp_path: Path, view: View) -> None:
    report: dict[str, Any] = {"settings": {"source": "a.png"}, "outputs": {}, "notes": [], "latency_ms": {}}
    status, _, said = view(_write(tmp_path, [_rectangle(4)], **report))
    assert status == 0, said
    text = (tmp_path / "page.html").read_text()
    assert "1 frame, 20x10; mean area 20.0%" in text
    assert 'class="chart"' not in text
