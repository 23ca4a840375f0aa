"""Build a TensorRT engine and its card from an ONNX file."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from ..calibration.held_out import split_held_out
from ..export.compare.accuracy_gate import AccuracyGate, InputBatches, OpenEngine
from ..runtime.errors import EngineError
from ..runtime.extras import is_installed
from ..runtime.files.atomic import cannot_write, make_folder, replacing
from ..runtime.files.onnx_file import OnnxFile
from ..runtime.trt import api
from ..runtime.trt.card import EngineFile, card_path
from ..runtime.trt.check import check_card
from ..runtime.trt.machine import Machine
from .build_lock import only_build
from .build_options import BuildOptions
from .build_process import Built, build_in_process
from .clip_batches import clip_batches
from .inspector import kernel_precisions
from .make_card import make_card
from .precision.convert import (
    ConvertedFile,
    calibrate_int8,
    convert_fp16,
    convert_int8_for_sm75,
    require_tensorrt_target,
    rewrite_for_tensorrt8,
)
from .require_precision import require_fp16_share, require_int8_share
from .settings import choose_settings
from .tensorrt_builder import Settings


@contextmanager
def open_engine_file(engine: EngineFile) -> Iterator[OpenEngine]:
    """Load `engine` on the GPU of this machine."""
    from ..runtime.backends.tensorrt_backend import EngineBackend

    with EngineBackend(engine) as backend:
        yield OpenEngine(run=backend.run, layers=backend.engine.layers())


def build_engine(
    options: BuildOptions,
    on_note: Callable[[str], None] = print,
    on_phase: Callable[[str], None] | None = None,
    *,
    input_batches: InputBatches | None = None,
    open_engine: Callable[[EngineFile], AbstractContextManager[OpenEngine]] = open_engine_file,
) -> EngineFile:
    """Build an engine of the flavor of `options` and write it with its card, X.engine and X.engine.json.

        engine = build_engine(BuildOptions(model=Path("amcnet.onnx"), fp16=True, clips=("a.mp4",)))
        engine.path, engine.card.precision_report, engine.card.accuracy

    The library runs in a process of its own. Both files appear when they are complete, or not at all; a failed build
    leaves its log, X.engine.log.

    Args:
        options: the file, its precision and the GPUs to build for.
        on_note: called with one line for each choice that the options left open.
        on_phase: called with one line for each step of the build, several times a second.
        input_batches: inputs of the network by name, one mapping for each frame. Ranges are probed (FP16) or calibrated
            (INT8) on them, and the result is compared with the FP32 file; INT8 on frames held out from the calibration.
            None for inputs made from `options.clips`.
        open_engine: context manager that runs an engine, to compare it if there is a GPU for it.

    Raises:
        ModelFileError: `options.model` cannot be read, converted or parsed, or is not supported by TensorRT.
        BackendError: a library is missing. InputError: a clip cannot be read. OutputError: a file cannot be written.
        EngineError: options exclude each other, another process builds the same engine, the build failed, less of the
            network than required runs in the requested precision, or the result differs from FP32 too much.
    """
    source = OnnxFile.read(options.model)
    machine = Machine.here()
    settings = choose_settings(options, machine, on_note, fp16=options.fp16 or source.precision == "fp16")
    engine = _output(options)
    make_folder(engine.parent)
    report_phase = on_phase or (lambda phase: None)
    start = time.perf_counter()
    with only_build(engine), tempfile.TemporaryDirectory() as scratch:
        folder = engine.parent if options.keep_onnx else Path(scratch)
        if input_batches is None:
            input_batches = clip_batches(source, options.clips, flow=options.flow)
        gate = _accuracy_gate(source, options, input_batches, on_note, report_phase)
        converted = _convert(source, folder, options, settings, input_batches, on_note, report_phase)
        model = converted.file
        _require_buildable(model, settings, on_note)
        accuracy = {}
        if gate is not None and model.precision != "fp32":
            accuracy["onnx"] = gate.file(model, Path(scratch))
        with replacing(engine) as temporary:
            built = _build(model, temporary, Path(scratch) / "build.log", engine, settings, on_phase)
            if options.fp16:
                require_fp16_share(built.precision_report, source.path.name)
            if options.int8:
                require_int8_share(built.precision_report, source.path.name)
            seconds = time.perf_counter() - start
            card = make_card(temporary, source, model.precision, options, settings, built, machine, seconds)
            if gate is not None and check_card(engine, card, machine).can_run:
                with open_engine(EngineFile(path=temporary, card=card)) as opened:
                    accuracy["engine"] = gate.engine(model, opened.run, machine.gpu_name)
                    accuracy["engine"]["kernels"] = kernel_precisions(opened.layers)
            if gate is not None and not accuracy:
                on_note("no comparison: the file is the FP32 file, and no GPU of this machine runs its engine")
            card = replace(card, ranges=converted.ranges, clipped=dict(converted.clipped), accuracy=accuracy or None)
            with replacing(card_path(engine)) as temporary_card:
                temporary_card.write_text(card.to_json())
    _log_path(engine).unlink(missing_ok=True)  # of an earlier build that failed
    for note in built.notes:
        on_note(note)
    return EngineFile(path=engine, card=card)


def _output(options: BuildOptions) -> Path:
    engine = options.output or options.model.with_suffix(".engine")
    if engine.suffix == ".onnx":
        raise EngineError(f"-o: got {engine}, the name of an ONNX file, expected a name such as X.engine")
    if options.fp16 and options.int8:
        raise EngineError("--fp16 and --int8 exclude each other: got both, expected one. Fix: leave one out")
    return engine


def _convert(
    source: OnnxFile,
    folder: Path,
    options: BuildOptions,
    settings: Settings,
    input_batches: InputBatches,
    on_note: Callable[[str], None],
    on_phase: Callable[[str], None],
) -> ConvertedFile:
    """Return the file to build from, in the requested precision and, for TensorRT 8, the form that its parser reads."""
    converted = _convert_precision(source, folder, options, settings, input_batches, on_note, on_phase)
    if settings.flavor != "tensorrt-8":
        return converted
    target = folder / f"{converted.file.path.stem}.tensorrt8.onnx"
    return replace(converted, file=rewrite_for_tensorrt8(converted.file, target))


def _convert_precision(
    source: OnnxFile,
    folder: Path,
    options: BuildOptions,
    settings: Settings,
    input_batches: InputBatches,
    on_note: Callable[[str], None],
    on_phase: Callable[[str], None],
) -> ConvertedFile:
    for_sm75 = settings.flavor == "tensorrt-rtx" and api.SM75 in settings.compute_capability
    name = source.path.stem
    if options.fp16 and source.precision != "fp16":
        target = folder / f"{name}.fp16.onnx"
        clip = options.allow_clipping
        return convert_fp16(source, target, input_batches, on_note, on_phase, for_sm75=for_sm75, allow_clipping=clip)
    converted = ConvertedFile(file=source)
    if options.int8 and source.precision != "int8":
        converted = calibrate_int8(source, folder / f"{name}.int8.onnx", input_batches, on_phase)
    if converted.file.precision == "int8":
        require_tensorrt_target(converted.file)
        if for_sm75:
            target = folder / f"{name.removesuffix('.int8')}.int8.sm75.onnx"
            converted = replace(converted, file=convert_int8_for_sm75(converted.file, target, on_note))
    return converted


def _require_buildable(model: OnnxFile, settings: Settings, on_note: Callable[[str], None]) -> None:
    if not is_installed("onnx"):
        on_note("operators are not checked before the build, for lack of ONNX: pip install 'amcnet[export]'")
        return
    from .precision.onnx_lint import require_buildable

    require_buildable(model.path, tensorrt8=settings.flavor == "tensorrt-8")


def _accuracy_gate(
    source: OnnxFile,
    options: BuildOptions,
    input_batches: InputBatches,
    on_note: Callable[[str], None],
    on_phase: Callable[[str], None],
) -> AccuracyGate | None:
    """Return the comparison with the FP32 file; None without input batches or without an FP32 file."""
    if not input_batches:
        return None
    reference = OnnxFile.read(options.reference, source.model) if options.reference else source
    if options.reference is None and source.precision != "fp32":
        on_note(f"no comparison: {source.path.name} is {source.precision}; name its FP32 file with --reference")
        return None
    if options.int8 and source.precision == "fp32":
        _, input_batches = split_held_out(input_batches)
    return AccuracyGate(reference=reference, input_batches=input_batches, min_iou=options.min_iou, on_phase=on_phase)


def _build(
    model: OnnxFile,
    plan: Path,
    log: Path,
    engine: Path,
    settings: Settings,
    on_phase: Callable[[str], None] | None,
) -> Built:
    """Build `plan`; if that fails, move the log to its place beside `engine`, and correct its path in the message."""
    try:
        return build_in_process(model.path, plan, log, settings, on_phase)
    except EngineError as error:
        message = str(error)
        if str(log) not in message:
            raise EngineError(message) from None
        kept = _log_path(engine)
        try:
            kept.write_bytes(log.read_bytes())
        except OSError as cause:
            raise cannot_write(kept, cause) from cause
        raise EngineError(message.replace(str(log), str(kept))) from None


def _log_path(engine: Path) -> Path:
    return engine.with_name(engine.name + ".log")
