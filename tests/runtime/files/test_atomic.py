"""Files appear complete or not at all, and errors name the cause in one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from amcnet.runtime.errors import OutputError
from amcnet.runtime.files.atomic import begin, make_folder, replacing


def test_a_file_has_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path  # a rename does not work across file systems
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failure_leaves_the_old_file_and_no_other(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_new_files_have_the_permissions_of_the_umask(tmp_path: Path) -> None:
    with replacing(tmp_path / "atomic") as temporary:
        temporary.write_bytes(b"x")
    (tmp_path / "plain").write_bytes(b"x")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    path = tmp_path / "run.json"

    def fill() -> None:
        with replacing(path) as temporary:
            temporary.unlink()
            temporary.symlink_to("/dev/full")
            temporary.write_bytes(b"x")

    with pytest.raises(OutputError, match=r"run\.json: No space left on device; free some space .* -o"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_unwritable_paths_are_found_before_the_work_begins(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    obstacles = {
        tmp_path / "missing" / "a": "create its folder first",
        tmp_path / "file" / "a": "a part of this path is a file",
        tmp_path: "a folder of that name is in the way",
        tmp_path / ("n" * 300): "choose a shorter name",
    }
    for path, advice in obstacles.items():
        with pytest.raises(OutputError, match=advice) as caught:
            begin(path)
        assert str(path) in str(caught.value)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="Permission denied; choose a folder that you may write to with -o"):
            begin(tmp_path / "a")
    finally:
        tmp_path.chmod(0o700)


def test_folders_are_made_unless_a_file_has_their_name(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "a"):
        with pytest.raises(OutputError, match="a part of this path is a file"):
            make_folder(folder)
