"""ONNX file -> engine and card: choose a flavor, build in a process of its own, count the precision, then keep it."""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from ..calibration.held_out import split_held_out
from ..export.compare.accuracy_gate import AccuracyGate, InputBatches, OpenEngine
from ..runtime.errors import EngineError
from ..runtime.files.atomic import cannot_write, make_folder, replacing
from ..runtime.files.onnx_file import OnnxFile, file_sha256
from ..runtime.trt import api
from ..runtime.trt.card import Card, EngineFile, card_path
from ..runtime.trt.check import check_card
from ..runtime.trt.machine import Machine
from ..runtime.version import __version__
from .build_lock import only_build
from .build_options import BuildOptions
from .build_process import Built, build_in_process
from .inspector import kernel_precisions
from .precision.convert import Typed, in_fp16, in_int8, in_int8_for_sm75, require_tensorrt
from .require_precision import require_fp16_share, require_int8_share
from .settings import choose_settings
from .tensorrt_builder import Settings


def build_engine(
    options: BuildOptions,
    on_note: Callable[[str], None] = print,
    on_phase: Callable[[str], None] | None = None,
    *,
    input_batches: InputBatches = (),
    open_engine: Callable[[EngineFile], AbstractContextManager[OpenEngine]] | None = None,
) -> EngineFile:
    """Build the engine and write it and its card; both appear when they are complete, or not at all.

    `on_note` gets a line for each choice that was made; `on_phase` lines about how far the build is. `feeds` are what
    the model gets for frames of real clips: its ranges are probed (fp16) or calibrated (int8) on them, and what is
    built is held against the FP32 file; int8 on frames that it was not calibrated with. `open_engine` runs an engine;
    where there is a GPU for it, it is measured as well. Raises ModelFileError, BackendError for a library that is
    not there, OutputError, and EngineError: a build that failed, that is already running, or whose precision or masks
    are not what was asked for. A failed build leaves OUTPUT.log.
    """
    source = OnnxFile.read(options.model)
    machine = Machine.here()
    settings = choose_settings(options, machine, on_note)
    engine = options.output or options.model.with_suffix(".engine")
    if engine.suffix == ".onnx":
        raise EngineError(f"-o {engine} would be taken for an ONNX file; expected a name such as X.engine")
    make_folder(engine.parent)
    tell = on_phase or (lambda phase: None)
    start = time.perf_counter()
    with only_build(engine), tempfile.TemporaryDirectory() as scratch:
        folder = engine.parent if options.keep_onnx else Path(scratch)
        gate = _gate(source, options, input_batches, on_note, tell)
        typed = _typed(source, folder, options, settings, input_batches, on_note, tell)
        model = typed.file
        accuracy = {}
        if gate is not None and model.precision != "fp32":
            accuracy["onnx"] = gate.file(model, Path(scratch))
        log = Path(scratch) / "build.log"
        with replacing(engine) as temporary:
            try:
                built = build_in_process(model.path, temporary, log, settings, on_phase)
            except EngineError as error:
                raise EngineError(_kept_log(str(error), log, engine)) from None
            if options.fp16:
                require_fp16_share(built.precision_report, source.path.name)
            if options.int8:
                require_int8_share(built.precision_report, source.path.name)
            card = _card(temporary, source, model, options, settings, built, machine, time.perf_counter() - start)
            if gate is not None and open_engine is not None and check_card(engine, card, machine).can_run:
                with open_engine(EngineFile(path=temporary, card=card)) as opened:
                    accuracy["engine"] = gate.engine(model, opened.run, machine.gpu_name)
                    accuracy["engine"]["kernels"] = kernel_precisions(opened.layers)
            if gate is not None and not accuracy:
                on_note("nothing is compared: the file is the FP32 one, and its engine cannot be run here")
            card = replace(card, ranges=typed.ranges, clipped=dict(typed.clipped), accuracy=accuracy or None)
            with replacing(card_path(engine)) as temporary_card:
                temporary_card.write_text(card.to_json())
    _log_path(engine).unlink(missing_ok=True)  # of an earlier build that failed
    for note in built.notes:
        on_note(note)
    return EngineFile(path=engine, card=card)


def _typed(
    source: OnnxFile,
    folder: Path,
    options: BuildOptions,
    settings: Settings,
    input_batches: InputBatches,
    on_note: Callable[[str], None],
    on_phase: Callable[[str], None],
) -> Typed:
    """The file to build, converted into `folder` if it is not what is asked for already."""
    if options.fp16 and options.int8:
        raise EngineError("--fp16 and --int8 exclude each other: give one; an int8 file keeps in float what it must")
    turing = settings.flavor == "tensorrt-rtx" and api.SM75 in settings.compute_capability
    name = source.path.stem
    if options.fp16 and source.precision != "fp16":
        target = folder / f"{name}.fp16.onnx"
        clip = options.allow_clipping
        return in_fp16(source, target, input_batches, on_note, on_phase, for_sm75=turing, allow_clipping=clip)
    typed = Typed(file=source)
    if options.int8 and source.precision != "int8":
        typed = in_int8(source, folder / f"{name}.int8.onnx", input_batches, on_phase)
    if typed.file.precision == "int8":
        require_tensorrt(typed.file)
        if turing:
            target = folder / f"{name.removesuffix('.int8')}.int8.sm75.onnx"
            typed = replace(typed, file=in_int8_for_sm75(typed.file, target, on_note))
    return typed


def _gate(
    source: OnnxFile,
    options: BuildOptions,
    input_batches: InputBatches,
    on_note: Callable[[str], None],
    on_phase: Callable[[str], None],
) -> AccuracyGate | None:
    """What the result is held against; None without frames or without an FP32 file."""
    if not input_batches:
        return None
    reference = OnnxFile.read(options.reference, source.model) if options.reference else source
    if options.reference is None and source.precision != "fp32":
        on_note(
            f"{source.path.name} is {source.precision} and is compared with nothing: name its FP32 file, --reference"
        )
        return None
    if options.int8 and source.precision == "fp32":
        _, input_batches = split_held_out(input_batches)
    return AccuracyGate(reference=reference, input_batches=input_batches, min_iou=options.min_iou, on_phase=on_phase)


def _log_path(engine: Path) -> Path:
    return engine.with_name(engine.name + ".log")


def _kept_log(message: str, log: Path, engine: Path) -> str:
    """Put the log, if the message speaks of it, beside the engine's name, and let the message name it there."""
    if str(log) not in message:
        return message
    kept = _log_path(engine)
    try:
        kept.write_bytes(log.read_bytes())
    except OSError as error:
        raise cannot_write(kept, error) from error
    return message.replace(str(log), str(kept))


def _card(
    plan: Path,
    source: OnnxFile,
    model: OnnxFile,
    options: BuildOptions,
    settings: Settings,
    built: Built,
    machine: Machine,
    seconds: float,
) -> Card:
    of_this_gpu = settings.flavor == "tensorrt" and machine.compute_capability is not None
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
        precision=model.precision,
        inputs=tuple(asdict(tensor) | {"shape": list(tensor.shape)} for tensor in built.inputs),
        outputs=tuple(asdict(tensor) | {"shape": list(tensor.shape)} for tensor in built.outputs),
        profile={name: [list(shape) for shape in shapes] for name, shapes in settings.shapes.items()},
        precision_report=built.precision_report,
        rebuild=_command(options, settings),
        build_seconds=round(seconds, 1),
        built_at=datetime.now(UTC).isoformat(timespec="seconds"),
        tool_version=__version__,
    )


def _command(options: BuildOptions, settings: Settings) -> str:
    """The command that builds this engine anew, apart from the GPUs, which the reader may want to change."""
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
