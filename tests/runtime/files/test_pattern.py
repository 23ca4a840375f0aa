"""Patterns over folders with links and hidden files."""

from __future__ import annotations

from pathlib import Path

import pytest

from amcnet.runtime.errors import InputError
from amcnet.runtime.files.pattern import matching_paths


def test_recursive_patterns_end_with_links_that_lead_back_up(tmp_path: Path) -> None:
    for folder in ("a", "b", "b/c", "b/.cache"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").touch()
        for link in ("up", "again"):
            (tmp_path / folder / link).symlink_to(tmp_path)
    found = matching_paths(f"{tmp_path}/**/*.png")
    assert sorted(str(path.relative_to(tmp_path)) for path in found) == ["a/1.png", "b/1.png", "b/c/1.png"]
    assert matching_paths(f"{tmp_path}/b/.cache/**/*.png") == [tmp_path / "b/.cache/1.png"]
    assert sorted(matching_paths(f"{tmp_path}/?/*.png")) == [tmp_path / "a/1.png", tmp_path / "b/1.png"]
    with pytest.raises(InputError, match=r"a\*\*b: got an invalid pattern"):
        matching_paths("a**b")
    assert len(matching_paths(f"{tmp_path}/b/c/**")) == 3
