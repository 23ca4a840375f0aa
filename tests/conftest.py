"""Fixtures for all tests."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

import amcnet.benchmarks
from amcnet.export import Exported
from amcnet.runtime.trt.machine import Machine

settings.register_profile("no deadline", deadline=None)  # no test depends on the clock
settings.load_profile("no deadline")
_SHARED = Path(__file__).resolve().parents[1].parent / "shared"
# The tests import the wheel, which lacks the studies: those are imported from the clone.
amcnet.benchmarks.__path__.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))


class RootIsAFolder:
    """Collects the repository root as a folder. As a package, because of its __init__.py, pytest imports it by the name
    of the folder, which fails for names such as amcnet-main.
    """

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        return pytest.Dir.from_parent(parent, path=path) if path == parent.config.rootpath else None


def pytest_configure(config: pytest.Config) -> None:
    # As a plugin: hooks of a conftest.py are not called for the folder above it.
    config.pluginmanager.register(RootIsAFolder())
    if "PYTEST_XDIST_WORKER" not in os.environ:  # workers inherit it
        cache = tempfile.TemporaryDirectory(prefix="amcnet-tests-")  # compiled networks, in place of the user's cache
        config.add_cleanup(cache.cleanup)
        os.environ["XDG_CACHE_HOME"] = cache.name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked needs_cuda where there is no GPU; GPUs are detected only if such a test is collected."""
    marked = [item for item in items if item.get_closest_marker("needs_cuda")]
    if marked and not Machine.here().has_gpu:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU or no driver: make gpu-check on a machine with one"))


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """`shared("data/videos")`: path of that part of the shared test data; skips the test where it is absent."""

    def find(relative: str) -> Path:
        path = _SHARED / relative
        if not path.exists():
            pytest.skip(f"the shared test data has no {relative} here")
        return path

    return find


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """`exported("pwcnet")`: that model of data/exports.py, exported once per session for all workers."""
    from exports import export_once

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all workers
    return functools.cache(lambda name: export_once(folder / "exports", name))


@pytest.fixture
def command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str, Callable[[], int]], Callable[..., tuple[int, str, str]]]:
    """`command_line("amc-infer", main)(*arguments) -> (exit status, stdout, stderr)`: a command in this process."""

    def of(name: str, main: Callable[[], int]) -> Callable[..., tuple[int, str, str]]:
        def run(*arguments: object) -> tuple[int, str, str]:
            monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
            status = main()
            printed = capsys.readouterr()
            return status, printed.out, printed.err

        return run

    return of
