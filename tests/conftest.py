"""Fixtures for all tests."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import amcnet.benchmarks
from amcnet.export import Exported
from amcnet.runtime.trt.machine import Machine

_SHARED = Path(__file__).resolve().parents[1].parent / "shared"
# The studies are run from a clone: they are not in the wheel, which is what the tests import.
amcnet.benchmarks.__path__.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked needs_cuda where there is no GPU; the machine is asked only if there is such a test."""
    marked = [item for item in items if item.get_closest_marker("needs_cuda")]
    if marked and not Machine.here().has_gpu:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU or no driver: make gpu-check on a machine with one"))


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """`shared("data/videos")` is that part of the shared test data; the test is skipped where it is absent."""

    def find(relative: str) -> Path:
        path = _SHARED / relative
        if not path.exists():
            pytest.skip(f"the shared test data has no {relative} here")
        return path

    return find


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """`exported("pwcnet")`: that network of data/exports.py, one file for all tests of the session and all workers."""
    from exports import export_once

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all workers
    return functools.cache(lambda name: export_once(folder / "exports", name))
