"""Card of a new engine: its provenance, precision and the command that rebuilds it."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from ..runtime.files.onnx_file import OnnxFile, file_sha256
from ..runtime.trt.card import Card
from ..runtime.trt.machine import Machine
from ..runtime.version import __version__
from .build_options import BuildOptions
from .build_process import Built
from .tensorrt_builder import Settings


def make_card(
    plan: Path,
    source: OnnxFile,
    precision: str,
    options: BuildOptions,
    settings: Settings,
    built: Built,
    machine: Machine,
    seconds: float,
) -> Card:
    """Return the card of the engine at `plan`, built from `source` in `precision` within `seconds`."""
    of_this_gpu = settings.flavor != "tensorrt-rtx" and machine.compute_capability is not None
    return Card(
        engine_sha256=file_sha256(plan),
        engine_bytes=plan.stat().st_size,
        onnx_name=source.path.name,
        onnx_sha256=source.sha256(),
        onnx_metadata=source.metadata,
        flavor=settings.flavor,
        version=built.version,
        compute_capability=(machine.compute_capability or "",) if of_this_gpu else settings.compute_capability,
        gpu=machine.gpu if of_this_gpu else None,
        version_compatible=settings.version_compatible,
        hardware_compatible=settings.hardware_compatible,
        precision=precision,
        inputs=tuple(asdict(tensor) | {"shape": list(tensor.shape)} for tensor in built.inputs),
        outputs=tuple(asdict(tensor) | {"shape": list(tensor.shape)} for tensor in built.outputs),
        profile={name: [list(shape) for shape in shapes] for name, shapes in settings.shapes.items()},
        precision_report=built.precision_report,
        rebuild=rebuild_command(options, settings),
        build_seconds=round(seconds, 1),
        built_at=datetime.now(UTC).isoformat(timespec="seconds"),
        tool_version=__version__,
    )


def rebuild_command(options: BuildOptions, settings: Settings) -> str:
    """Return the command that rebuilds the engine; the target GPUs are left for the user to choose."""
    words = ["build-engine", options.model.name]
    words += ["--fp16"] if options.fp16 else []
    words += ["--allow-clipping"] if options.allow_clipping else []
    words += ["--int8"] if options.int8 else []
    words += ["--clips", *map(str, options.clips)] if options.clips else []
    words += ["--flow", str(options.flow)] if options.clips and str(options.flow) != "dis" else []
    words += ["--min-iou", str(options.min_iou)] if options.min_iou is not None else []
    words += ["--reference", options.reference.name] if options.reference is not None else []
    words += ["--flavor", settings.flavor]
    for name, shapes in settings.shapes.items():
        words += ["--shapes", f"{name}:" + "/".join("x".join(str(size) for size in shape) for shape in shapes)]
    words += ["--version-compatible"] if settings.version_compatible else []
    words += ["--hardware-compatible"] if settings.hardware_compatible else []
    return shlex.join(words)
