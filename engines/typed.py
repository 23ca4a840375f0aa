"""The file that an engine is built of, where it is not the one given: in half or int8, by rules and real frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import EngineError
from ..calibration.held_out import split_held_out
from ..export.accuracy_gate import Feeds, told
from ..export.onnx_file import INT8_TARGET, OnnxFile

_TURING = "TensorRT-RTX multiplies no matrices in float on SM 7.5: attention and correlation are in half too"


def in_half(
    source: OnnxFile,
    target: Path,
    feeds: Feeds,
    on_note: Callable[[str], None],
    on_phase: Callable[[str], None],
    *,
    for_turing: bool,
) -> tuple[OnnxFile, dict[str, Any] | None]:
    """Write `target`: `source` in half, `for_turing` without float products. With `feeds`, what they make too large for
    half becomes an island too, and the ranges come back for the card. Raises as `to_half` and `probe_ranges`.
    """
    from . import turing
    from .half import to_half
    from .islands import DEFAULT
    from .range_probe import probe_ranges

    islands = turing.ISLANDS if for_turing else DEFAULT
    if for_turing:
        on_note(_TURING)
    probe = probe_ranges(source.path, told(feeds, "probing ranges", on_phase)) if feeds else None
    report = to_half(source.path, target, islands=islands, probe=probe)
    if for_turing:
        turing.without_float_products(target, target)
    if probe is None:
        return OnnxFile.read(target), None
    added = [island.reason for island in probe.islands if island.reason in report.islands]
    on_note(
        f"ranges of {len(probe.max_abs)} tensors on {probe.frames} frames: "
        + (f"in float besides the rules' islands: {'; '.join(added)}" if added else "none needs more islands")
    )
    return OnnxFile.read(target), probe.to_json()


def in_int8(
    source: OnnxFile, target: Path, feeds: Feeds, on_phase: Callable[[str], None]
) -> tuple[OnnxFile, dict[str, Any]]:
    """Write `target`: `source` in int8 in the form for TensorRT, by its ranges on `feeds` without those held out.

    For the card comes back by which frames. Raises EngineError without feeds, and as `calibrate_on_batches`.
    """
    from ..calibration import calibrate_on_batches

    if not feeds:
        raise EngineError(
            f"{source.path} is {source.precision}; --int8 expected a file made by amc-calibrate, or clips to calibrate "
            f"it with: build-engine {source.path.name} --int8 --clips DIR"
        )
    rest, _ = split_held_out(feeds)
    on_phase(f"calibrating with {len(rest)} frames")
    table = calibrate_on_batches(source.path, target, rest, target="tensorrt").table
    calibrated = {"frames": table.frames, "frames_sha256": table.frames_sha256, "method": table.method}
    return OnnxFile.read(target), calibrated


def in_int8_for_turing(file: OnnxFile, target: Path, on_note: Callable[[str], None]) -> OnnxFile:
    """Write `target`: the int8 file without matrix products in float. Raises OutputError."""
    from .turing import without_float_products

    on_note(_TURING)
    without_float_products(file.path, target)
    return OnnxFile.read(target)


def require_tensorrt(file: OnnxFile) -> None:
    """EngineError for an int8 file in the form that is fast on CPUs: TensorRT takes no zero points."""
    if file.metadata.get(INT8_TARGET) == "cpu":
        raise EngineError(
            f"{file.path} is calibrated for CPUs; expected the form that TensorRT takes: "
            "amc-calibrate MODEL.onnx --target tensorrt --help"
        )
