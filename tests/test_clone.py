"""A clone whose folder has another name than amcnet."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_tests_run_in_a_folder_of_any_name(tmp_path: Path) -> None:
    clone = tmp_path / "amcnet-main"
    for name in ("__init__.py", "pyproject.toml", "tests/conftest.py"):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    (clone / "tests" / "test_nothing.py").write_text("def test_nothing(): pass\n")
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider"]
    result = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert "1 passed" in result.stdout
