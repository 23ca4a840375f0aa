"""Pairs with known flow are read, and each method is measured on each of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import seeded

from amcnet.benchmarks.studies.flow_speed import SIZES, dis_methods, end_point_error, measure, read_pairs
from amcnet.runtime.errors import InputError


def _write_pair(folder: Path, name: str, shift: tuple[int, int]) -> None:
    for letter, image in zip("ab", seeded.image_pair(name, (200, 160), shift), strict=True):
        cv2.imwrite(str(folder / f"{name}_{letter}.png"), cv2.GaussianBlur(image, (0, 0), 3)[..., ::-1])
    np.savez(folder / f"{name}_flow.npz", flow=np.full((160, 200, 2), shift, np.float32))


def test_the_error_is_the_distance_to_the_known_flow(tmp_path: Path) -> None:
    _write_pair(tmp_path, "Drawn_0", (4, -2))
    _write_pair(tmp_path, "Drawn_1", (-3, 1))
    _write_pair(tmp_path, "Other_0", (2, 2))
    _write_pair(tmp_path, "network_reference", (0, 0))
    pairs = read_pairs(tmp_path)
    assert [pair.dataset for pair in pairs] == ["Drawn", "Drawn", "Other"]
    medium = [method for method in dis_methods() if method.name == "DIS, medium"]
    methods = [*medium, replace(medium[0], name="seeded", trained=False)]
    rows = measure(methods, pairs)
    assert [(row["method"], row["size"]) for row in rows] == [
        *(("DIS, medium", size) for size in SIZES),
        ("seeded", SIZES[0]),
    ]
    assert rows[-1]["error_px"] is None
    for row in rows[:-1]:
        assert list(row["error_px"]) == ["Drawn", "Other"]
        assert all(0 < error < 0.5 for error in row["error_px"].values())  # without motion it would be 2.8 to 4.5
        assert row["processor_ms"] > 0


def test_unknown_flow_does_not_count() -> None:
    known = np.array([[[3, 4], [np.nan, np.nan], [0, 1]]], np.float32)
    assert end_point_error(np.zeros((1, 3, 2), np.float32), known) == 3


def test_a_folder_without_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no \*_flow\.npz; expected frame pairs"):
        read_pairs(tmp_path)
