"""Each of the shared videos gives frames, or an error that names it."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from amcnet.runtime.errors import InputError
from amcnet.runtime.video.reader import open_frames

Shared = Callable[[str], Path]

AUDIO, ENCRYPTED, HEADER, DAMAGED = "only audio", "is encrypted", "has no frame of it", "could be decoded: damaged"
UNOPENED, EMPTY = "cannot be opened", "only an empty container"

# The number of frames that are there (None: so many that only ten are read here), or what the error says.
EXPECTED: dict[str, int | str | None] = {
    "decord/corrupted.mp4": 49,
    "decord/flipping_a_pancake.mkv": None,
    "decord/unordered.mov": 4,
    "decord/video_0.mov": 3,
    "decord/video_180.mov": 3,
    "decord/video_270.mov": 3,
    "decord/video_90.mov": 3,
    "intel/car-detection.mp4": None,
    "mp4parse/afconvert-aac-0.5s.mp4": AUDIO,
    "mp4parse/amr_nb_1f.3gp": AUDIO,
    "mp4parse/amr_wb_1f.3gp": AUDIO,
    "mp4parse/av1-clearkey-cbcs-video.mp4": 24,  # declared encrypted, yet its samples are clear
    "mp4parse/bbb_sunflower_QCIF_30fps_h263_noaudio_1f.3gp": 1,
    "mp4parse/bbb_sunflower_QCIF_30fps_mp4v_noaudio_1f.mp4": 1,
    "mp4parse/bipbop-cenc-audioinit.mp4": AUDIO,
    "mp4parse/bipbop_480wp_1001kbps-cenc-video-key1-init.mp4": ENCRYPTED,
    "mp4parse/bipbop_audioinit.mp4": AUDIO,
    "mp4parse/bipbop_cbcs_audio_init.mp4": AUDIO,
    "mp4parse/bipbop_cbcs_video_init.mp4": ENCRYPTED,
    "mp4parse/bipbop_nonfragment_header.mp4": HEADER,
    "mp4parse/capi_bipbop_cbcs_video_init.mp4": ENCRYPTED,
    "mp4parse/capi_sine-3s-xhe-aac-44khz-mono.mp4": AUDIO,
    "mp4parse/capi_video_colr_nclx_two_colr.mp4": 3,
    "mp4parse/chunk_out_of_range.mp4": UNOPENED,
    "mp4parse/h264_white_frame_sar_16_9.mp4": 1,
    "mp4parse/hevc_white_frame.mp4": 1,
    "mp4parse/invalid_userdata.mp4": HEADER,
    "mp4parse/metadata.mp4": 1,
    "mp4parse/metadata_gnre.mp4": 1,
    "mp4parse/minimal.mp4": 1,
    "mp4parse/no_timescale.mp4": 170,
    "mp4parse/opus_audioinit.mp4": AUDIO,
    "mp4parse/opus_audioinit_two_desc.mp4": AUDIO,
    "mp4parse/short-cenc.mp4": ENCRYPTED,
    "mp4parse/sine-3s-xhe-aac-44khz-mono.mp4": AUDIO,
    "mp4parse/test_case_1185230.mp4": DAMAGED,
    "mp4parse/tiny_av1.mp4": 1,
    "mp4parse/video_colr_nclx_and_icc.mp4": 3,
    "mp4parse/video_colr_nclx_hdr10.mp4": 3,
    "mp4parse/video_colr_nclx_hdr10_full_range.mp4": 3,
    "mp4parse/video_colr_nclx_hlg.mp4": 3,
    "mp4parse/video_colr_nclx_hlg_full_range.mp4": 3,
    "mp4parse/video_colr_nclx_rgb.mp4": 3,
    "mp4parse/video_colr_nclx_two_colr.mp4": 3,
    "mp4parse/video_rotation_90.mp4": 1,
    "mp4parse/white.mp4": None,
    "mp4parse/zero_empty_stsc.mp4": DAMAGED,
    "scikit/bigbuckbunny.mp4": None,
    "scikit/bikes.mp4": None,
    "scikit/carphone_distorted.mp4": None,
    "scikit/carphone_pristine.mp4": None,
    "smallest/AudioVideoInterleave.avi": HEADER,
    "smallest/FlashVideo.flv": UNOPENED,
    "smallest/Mpeg4.mp4": EMPTY,
    "smallest/WindowsMediaVideo.wmv": HEADER,
    "smallest/mp4-with-audio.mp4": AUDIO,
    "smallest/webm.webm": 1,
    "videosegment/test_video.MOV": 120,
    "vpf/test.mp4": 96,
    "vpf/test_res_change.h264": 96,
}
DAMAGED_YET_READ = {"decord/corrupted.mp4", "mp4parse/no_timescale.mp4"}


def test_the_table_names_every_file(shared: Shared):
    root = shared("data/videos")
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name != "LICENSE"}
    assert files == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_each_file_gives_its_frames_or_an_error(shared: Shared, name: str, capfd: pytest.CaptureFixture[str]):
    path, expected = shared("data/videos") / name, EXPECTED[name]
    if isinstance(expected, str):
        with pytest.raises(InputError, match=f"^{path}: .*{expected}"):
            open_frames(path)
    else:
        with open_frames(path) as reader:
            times = [frame.pts for frame in islice(reader, 10 if expected is None else None)]
            assert (reader.truncated is not None) == (name in DAMAGED_YET_READ)
            assert reader.info.expected_frames is None or reader.info.expected_frames >= len(times)
        assert len(times) == (10 if expected is None else expected)
        assert all(np.diff(times) > 0)
    assert capfd.readouterr().err == ""


def test_the_note_of_a_damaged_video_names_the_frame(shared: Shared):
    with open_frames(shared("data/videos/decord/corrupted.mp4")) as reader:
        assert reader.truncated is None
        assert len(list(reader)) == 49
        assert reader.truncated is not None
        assert "damaged after 28 frames" in reader.truncated
        assert "49 frames of 50 read" in reader.truncated


@pytest.mark.parametrize(("name", "quarter_turns"), [("0", 0), ("90", -1), ("180", 2), ("270", 1)])
def test_rotated_videos_are_turned_upright(shared: Shared, name: str, quarter_turns: int):
    # Four views of a keyboard; with these turns the letters on its keys were seen to be the right way up in each.
    path = shared(f"data/videos/decord/video_{name}.mov")
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    with open_frames(path) as reader:
        assert np.array_equal(next(reader).pixels, np.rot90(stored, quarter_turns))


def test_the_size_may_change_in_the_middle(shared: Shared):
    with open_frames(shared("data/videos/vpf/test_res_change.h264")) as reader:
        sizes = [frame.pixels.shape[:2] for frame in reader]
    assert len(sizes) == 96
    assert set(sizes) == {(464, 848), (232, 424)}


def test_the_sample_aspect_ratio_is_not_applied(shared: Shared):
    with open_frames(shared("data/videos/mp4parse/h264_white_frame_sar_16_9.mp4")) as reader:
        assert next(reader).pixels.shape == (480, 640, 3)
