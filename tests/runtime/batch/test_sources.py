"""From sources to videos: folders, patterns and lists, and errors."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from pathlib import Path

import pytest

from amcnet.runtime.batch.layout import require_distinct
from amcnet.runtime.batch.shard import Shard
from amcnet.runtime.batch.sources import find_videos
from amcnet.runtime.batch.video import Video
from amcnet.runtime.errors import InputError

OUT = Path("out")


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of files that are named like videos; the current one."""
    monkeypatch.chdir(tmp_path)
    _touch("v/b.MP4", "v/a.mkv", "v/day 1/ä.webm", "v/day 1/notes.txt", "v/.hidden.mp4", "v/.git/x.mp4", "v/cover.png")


def _touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def _found(*sources: str, image_folders: bool = False) -> list[tuple[str, str]]:
    videos = find_videos(sources, OUT, image_folders=image_folders)
    assert all(os.path.isabs(video.source) for video in videos)
    return [(video.relative, video.output) for video in videos]


def test_a_folder_is_searched_to_any_depth() -> None:
    assert _found("v") == [("a.mkv", "a"), ("b.MP4", "b"), ("day 1/ä.webm", "day 1/ä")]
    assert _found("v/") == _found("v") == _found(os.path.abspath("v"))


def test_results_of_earlier_runs_are_not_found() -> None:
    _touch("out/a/overlay.mp4", "v/old/run.json", "v/old/overlay.mp4", "v/own/overlay.mp4")
    _touch("v/old/alpha.mov", "v/old/matte.mkv", "v/old/alpha.webm", "v/old/background.mp4", "v/old/contours.mp4")
    found = _found(".")
    assert ("v/own/overlay.mp4", "v/own/overlay") in found
    assert not [relative for relative, _ in found if "out" in relative or "old" in relative]
    assert ("out/a/overlay.mp4", "out/a/overlay") not in _found("**/*.mp4")


def test_a_file_is_mirrored_by_its_name() -> None:
    _touch("v/clip.v2.mp4", "v/raw.bin")
    assert _found("v/clip.v2.mp4", "v/raw.bin") == [("clip.v2.mp4", "clip.v2"), ("raw.bin", "raw")]


def test_a_pattern_is_mirrored_below_its_folder() -> None:
    assert _found("v/*") == [("a.mkv", "a"), ("b.MP4", "b")]
    assert _found("v/d*/*.webm") == [("day 1/ä.webm", "day 1/ä")]
    assert _found("v/**") == _found("v")


def test_folders_of_images_are_clips() -> None:
    _touch("shots/one.v2/0.png", "shots/deep/two/a.jpg", "shots/deep/two/._a.jpg", "shots/none/._b.png")
    _touch("shots/run/run.json", "shots/run/masks/00000.png")
    assert _found("shots", image_folders=True) == [("deep/two", "deep/two"), ("one.v2", "one.v2")]
    assert _found("shots/one.v2", image_folders=True) == [("one.v2", "one.v2")]
    assert _found("shots/*", image_folders=True) == [("one.v2", "one.v2")]


@pytest.mark.parametrize(
    ("source", "image_folders", "says"),
    [
        (
            "gone",
            False,
            "gone: there is no such file or folder; expected a video, a folder, a quoted pattern or a list",
        ),
        ("v/.git", True, "v/.git: no videos were found; expected folders that hold images. Without --image-folders"),
        ("empty", False, "empty: no videos were found; expected files ending in 3gp avi .*mp4.*need --image-folders"),
        ("v/*.png", False, r"v/\*\.png: no videos were found"),
        ("s3://bucket/a", True, "s3://bucket/a: folders of images are not read from addresses"),
        ("empty.txt", False, "empty.txt: no videos were found"),
    ],
)
def test_a_source_without_videos_is_refused(source: str, image_folders: bool, says: str) -> None:
    Path("empty").mkdir()
    Path("empty.txt").write_text("\n# nothing\n\n")
    with pytest.raises(InputError, match=f"^{says}"):
        find_videos((source,), OUT, image_folders=image_folders)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads all folders")
def test_an_unreadable_folder_is_refused_with_permissions() -> None:
    Path("v/day 1").chmod(0)
    try:
        with pytest.raises(InputError, match=r"v/day 1: the folder cannot be read \(Permission denied\)"):
            find_videos(("v",), OUT)
    finally:
        Path("v/day 1").chmod(0o755)


def test_a_folder_that_fails_to_list_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def scandir(path: str) -> object:
        raise PermissionError(13, "Permission denied", path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        with pytest.raises(InputError, match=r"^v: the folder cannot be read \(Permission denied\)\. Fix: chmod"):
            find_videos(("v",), OUT)
    monkeypatch.setattr(os, "listdir", scandir)
    with pytest.raises(InputError, match=r"^v/day 1: the folder cannot be read \(Permission denied\)\. Fix: chmod"):
        find_videos(("v/day*",), OUT, image_folders=True)


# --- lists

_LIST = """\ufeff
# a comment, and a blank line before it
  v/a.mkv\t
v/day 1/ä.webm

./v/../v/b.MP4
gone.mp4
"""


def test_a_list_has_a_path_per_line() -> None:
    Path("lists").mkdir()
    Path("lists/videos.txt").write_text(_LIST.replace("./v/../", "").replace("v/", "../v/"), encoding="utf-8")
    Path("videos.txt").write_text(_LIST, encoding="utf-8")
    mirrored = [("v/a.mkv", "v/a"), ("v/day 1/ä.webm", "v/day 1/ä"), ("v/b.MP4", "v/b"), ("gone.mp4", "gone")]
    assert _found("videos.txt") == mirrored
    sources = [video.source for video in find_videos(("videos.txt",), OUT)]
    assert sources == [str(Path(name).absolute()) for name, _ in mirrored]
    above = find_videos(("lists/videos.txt",), OUT)
    assert [video.source for video in above] == [*sources[:3], str(Path("lists/gone.mp4").absolute())]
    assert above[0].relative == sources[0].lstrip("/"), "a path above the list is mirrored as a whole"


def test_absolute_paths_are_mirrored_as_a_whole() -> None:
    Path("videos.txt").write_text("/data/a/1.mp4\n/data/b/1.mp4\n")
    assert _found("videos.txt") == [("data/a/1.mp4", "data/a/1"), ("data/b/1.mp4", "data/b/1")]


def test_standard_input_is_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(_LIST.encode())))
    assert _found("-")[1] == ("v/day 1/ä.webm", "v/day 1/ä")


def test_json_lines_may_name_the_output() -> None:
    lines = [{"source": "v/a.mkv", "label": 3}, {"source": "v/b.MP4", "output": "named/out.v2"}]
    Path("videos.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert _found("videos.jsonl") == [("v/a.mkv", "v/a"), ("v/b.MP4", "named/out.v2")]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"source": "a.mp4"', r"list\.jsonl, line 2: Expecting .* expected a path, or JSON such as"),
        ('{"path": "a.mp4"}', r"list\.jsonl, line 2: got source None and output None; expected JSON such as"),
        ('{"source": "a.mp4", "output": 3}', r"list\.jsonl, line 2: got source 'a\.mp4' and output 3; expected JSON"),
        ('{"source": "a.mp4", "output": "../a"}', r".*a\.mp4: got '\.\./a' for its output; expected a path without"),
    ],
)
def test_wrong_lines_of_a_list_are_refused(line: str, says: str) -> None:
    Path("list.jsonl").write_text(f"v/a.mkv\n{line}\n")
    with pytest.raises(InputError, match=f"^{says}"):
        find_videos(("list.jsonl",), OUT)


def test_a_binary_list_is_refused() -> None:
    Path("list.txt").write_bytes(b"v/a.mkv\nv/\xff.mp4\n")
    with pytest.raises(InputError, match=r"^list\.txt: the list cannot be read \(byte 10 is not UTF-8\)"):
        find_videos(("list.txt",), OUT)


# --- outputs


def _videos(*relatives: str) -> list[Video]:
    return [Video.make(f"/{place}/{relative}", relative) for place, relative in enumerate(relatives)]


@pytest.mark.parametrize(
    ("relatives", "says"),
    [
        (["a.mp4", "a.mkv"], "/0/a.mp4 and /1/a.mkv have the same output a; expected one each. Fix: "),
        (["day/a.mp4", "day.mp4"], "/0/day/a.mp4: its output day/a lies inside that of /1/day.mp4"),
        (["status.mp4"], "/0/status.mp4: its output would be status, a name that amc-batch uses itself"),
        (["summary.html.mp4"], "/0/summary.html.mp4: its output would be summary.html, a name that"),
        (["ä" * 120 + ".mp4"], ".* has 240 bytes; expected at most 236"),
    ],
)
def test_overlapping_outputs_are_refused(relatives: list[str], says: str) -> None:
    with pytest.raises(InputError, match=f"^{says}"):
        require_distinct(_videos(*relatives))


def test_duplicates_are_refused() -> None:
    with pytest.raises(InputError, match=r"/v/a\.mkv: the video is listed twice; expected each video once$"):
        require_distinct(find_videos(("v", "v/a.mkv"), OUT))
    same_name = [Video("/1", "a.mp4", "a"), Video("/2", "a.mp4", "b")]
    with pytest.raises(InputError, match=r"^/1 and /2 are both named a\.mp4"):
        require_distinct(same_name)


def test_distinct_outputs_are_accepted() -> None:
    require_distinct(_videos("a.mp4", "b/a.mp4", "a2.mp4", "b/status.mp4", "b/summary.mp4"))


# --- shards


@pytest.mark.parametrize("count", [1, 3, 8])
def test_shards_are_disjoint_and_complete(count: int) -> None:
    videos = _videos(*(f"day {place % 7}/clip{place}.mp4" for place in range(400)))
    parts = [[video for video in videos if Shard(index, count).has(video)] for index in range(count)]
    together = [video for part in parts for video in part]
    assert len(together) == len(videos)
    assert set(together) == set(videos)
    assert all(parts)


def test_a_shard_does_not_depend_on_the_other_videos_nor_on_the_process() -> None:
    hashed = 0xE6D48EABD560BC60  # printf a.mp4 | sha256sum, the first 8 bytes
    for count in (3, 8, 1000):
        found = [index for index in range(count) if Shard(index, count).has(Video("/any", "a.mp4", "any"))]
        assert found == [hashed % count]


@pytest.mark.parametrize("text", ["8/8", "1", "a/b", "-1/3", "0/0", "1/2/3", "²/3"])
def test_other_texts_are_no_shard(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected I/N with I from 0 to N-1, such as 0/8"):
        Shard.parse(text)
