"""ONNX file -> engine and card: choose a flavour, build in a process of its own, count the precision, then keep it."""

from __future__ import annotations

import os
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from .. import EngineError, __version__
from ..export import onnx_file
from ..export.atomic import cannot_write, make_folder, replacing
from ..export.onnx_file import OnnxFile, file_sha256
from . import tensorrt_api
from .build_process import Built, build_in_process
from .card import Card, EngineFile, card_path
from .machine import Machine
from .receipt import require_half
from .tensorrt_api import Settings

_PRODUCTS = ("AmcCoAttention", "AmcCorrelation")  # the functions of ours that multiply matrices
ShapeRange = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]  # least, usual, greatest


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """`model` is an ONNX file of this package; `output` the engine, by default beside it under its name.

    fp16: convert to half on the way; keep_onnx leaves the converted file beside the engine. flavour: "tensorrt" or
    "tensorrt-rtx"; None takes TensorRT where it is installed and a GPU is there. shapes: input -> range, for files with
    free sizes. compute_capability: the GPUs to build for, such as ("8.6", "8.9"), TensorRT-RTX only. timing_cache:
    None takes one in the user's cache folder. workspace_mib and optimization_level (0 to 5): None leaves the library's.
    """

    model: Path
    output: Path | None = None
    fp16: bool = False
    keep_onnx: bool = False
    flavour: str | None = None
    shapes: dict[str, ShapeRange] = field(default_factory=dict)
    compute_capability: tuple[str, ...] = ()
    timing_cache: Path | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    workspace_mib: int | None = None
    optimization_level: int | None = None


def build_engine(
    options: BuildOptions,
    on_note: Callable[[str], None] = print,
    on_phase: Callable[[str], None] | None = None,
) -> EngineFile:
    """Build the engine and write it and its card; both appear when they are complete, or not at all.

    `on_note` gets a line for each choice that was made; `on_phase` lines about how far the build is. Raises
    ModelFileError, BackendError for a library that is not there, OutputError, and EngineError: a build that failed,
    that is already running, or whose precision is not what was asked for. A failed build leaves OUTPUT.log.
    """
    source = OnnxFile.read(options.model)
    machine = Machine.here()
    settings = _settings(options, machine, on_note)
    engine = options.output or options.model.with_suffix(".engine")
    if engine.suffix == ".onnx":
        raise EngineError(f"-o {engine} would be taken for an ONNX file; expected a name such as X.engine")
    make_folder(engine.parent)
    start = time.perf_counter()
    with _only_build(engine), tempfile.TemporaryDirectory() as scratch:
        model = source
        if options.fp16:
            target = (engine.parent if options.keep_onnx else Path(scratch)) / f"{source.path.stem}.fp16.onnx"
            model = _in_half(source, target, settings, on_note)
        log = Path(scratch) / "build.log"
        with replacing(engine) as temporary:
            try:
                built = build_in_process(model.path, temporary, log, settings, on_phase)
            except EngineError as error:
                raise EngineError(_kept_log(str(error), log, engine)) from None
            if options.fp16:
                require_half(built.receipt, source.path.name)
            card = _card(temporary, source, model, options, settings, built, machine, time.perf_counter() - start)
            with replacing(card_path(engine)) as temporary_card:
                temporary_card.write_text(card.to_json())
    for note in built.notes:
        on_note(note)
    return EngineFile(path=engine, card=card)


def default_flavour(machine: Machine) -> str:
    """TensorRT where it is installed and a GPU is there, else TensorRT-RTX, which needs no GPU to build."""
    return "tensorrt" if "tensorrt" in machine.tensorrt and machine.has_gpu else "tensorrt-rtx"


def _settings(options: BuildOptions, machine: Machine, on_note: Callable[[str], None]) -> Settings:
    flavour = options.flavour
    if flavour is None:
        flavour = default_flavour(machine)
        reason = "it is installed and a GPU is there" if flavour == "tensorrt" else "it builds without a GPU"
        if flavour == "tensorrt-rtx" and machine.has_gpu:
            reason = "TensorRT is not installed"
        on_note(f"building with {tensorrt_api.NAMES[flavour]}: {reason} (--flavour chooses)")
    if flavour not in tensorrt_api.MODULES:
        raise EngineError(f"the flavour {flavour!r} is unknown; expected {' or '.join(tensorrt_api.MODULES)}")
    targets = options.compute_capability
    timing_cache = options.timing_cache
    if flavour == "tensorrt-rtx" and not targets:
        known = machine.compute_capability in tensorrt_api.RTX_COMPUTE_CAPABILITIES
        outside = machine.compute_capability not in tensorrt_api.RTX_DEFAULT_COMPUTE_CAPABILITIES
        targets = (
            (machine.compute_capability,)
            if machine.compute_capability is not None and known and outside
            else tensorrt_api.RTX_DEFAULT_COMPUTE_CAPABILITIES
        )
        on_note(f"for SM {', '.join(targets)} (--compute-capability chooses)")
    elif flavour == "tensorrt" and timing_cache is None:
        timing_cache = default_timing_cache(machine)
    settings = Settings(
        flavour=flavour,
        shapes=options.shapes,
        compute_capability=targets,
        timing_cache=timing_cache,
        version_compatible=options.version_compatible,
        hardware_compatible=options.hardware_compatible,
        workspace_mib=options.workspace_mib,
        optimization_level=options.optimization_level,
    )
    tensorrt_api.check(settings)
    if flavour == "tensorrt" and (machine.is_too_old or not machine.has_gpu):
        found = machine.gpu_name if machine.has_gpu else "no GPU or no driver was found"
        raise EngineError(
            f"TensorRT builds on the GPU that the engine is for, of SM {tensorrt_api.OLDEST_COMPUTE_CAPABILITY} or "
            f"later; {found}; build for other GPUs with --flavour tensorrt-rtx (amc-check says what is here)"
        )
    return settings


def default_timing_cache(machine: Machine) -> Path:
    """One file for each GPU and version: caches of others are refused by the library."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "amcnet"
    version = machine.tensorrt.get("tensorrt", "unknown").replace(" ", "-")
    return folder / f"tensorrt-{version}-sm{machine.compute_capability}.timing"


def _in_half(source: OnnxFile, target: Path, settings: Settings, on_note: Callable[[str], None]) -> OnnxFile:
    """`target`: the file with its convolutions in half; or `source` itself if it is typed so already."""
    if source.metadata[onnx_file.PRECISION] == "fp16":
        return source
    from .half import to_half
    from .islands import DEFAULT

    islands = DEFAULT
    if settings.flavour == "tensorrt-rtx" and "7.5" in settings.compute_capability:
        # The GPU's products of halves are summed in float all the same; what is lost is the rounding of what goes in.
        on_note("TensorRT-RTX multiplies no matrices in float on SM 7.5: attention and correlation are in half too")
        functions = (
            replace(rule, widened=(), narrowed=()) if rule.name in _PRODUCTS else rule for rule in DEFAULT.functions
        )
        islands = replace(DEFAULT, functions=tuple(functions))
    to_half(source.path, target, islands=islands)
    return OnnxFile.read(target)


def _kept_log(message: str, log: Path, engine: Path) -> str:
    """Put the log, if the message speaks of it, beside the engine's name, and let the message name it there."""
    if str(log) not in message:
        return message
    kept = engine.with_name(engine.name + ".log")
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
    of_this_gpu = settings.flavour == "tensorrt" and machine.compute_capability is not None
    return Card(
        engine_sha256=file_sha256(plan),
        engine_bytes=plan.stat().st_size,
        onnx_name=source.path.name,
        onnx_sha256=source.sha256(),
        onnx_metadata=source.metadata,
        flavour=settings.flavour,
        version=built.version,
        compute_capability=(machine.compute_capability or "",) if of_this_gpu else settings.compute_capability,
        gpu=machine.gpu if of_this_gpu else None,
        version_compatible=settings.version_compatible,
        hardware_compatible=settings.hardware_compatible,
        precision=model.metadata[onnx_file.PRECISION],
        inputs=tuple(asdict(tensor) | {"shape": list(tensor.shape)} for tensor in built.inputs),
        outputs=tuple(asdict(tensor) | {"shape": list(tensor.shape)} for tensor in built.outputs),
        profile={name: [list(shape) for shape in shapes] for name, shapes in settings.shapes.items()},
        receipt=built.receipt,
        rebuild=_command(options, settings),
        build_seconds=round(seconds, 1),
        built_at=datetime.now(UTC).isoformat(timespec="seconds"),
        tool_version=__version__,
    )


def _command(options: BuildOptions, settings: Settings) -> str:
    """The command that builds this engine anew, apart from the GPUs, which the reader may want to change."""
    words = ["build-engine", options.model.name]
    words += ["--fp16"] if options.fp16 else []
    words += ["--flavour", settings.flavour]
    for name, shapes in settings.shapes.items():
        words += ["--shapes", f"{name}:" + "/".join("x".join(str(size) for size in shape) for shape in shapes)]
    words += ["--version-compatible"] if settings.version_compatible else []
    words += ["--hardware-compatible"] if settings.hardware_compatible else []
    return shlex.join(words)


@contextmanager
def _only_build(engine: Path) -> Iterator[None]:
    """Hold a lock on `engine`'s name; EngineError if another build does. The system lets go of it if we are killed."""
    import fcntl  # not on Windows

    path = engine.with_name(f".{engine.name}.lock")
    while True:
        try:
            file = path.open("a")
        except OSError as error:
            raise cannot_write(engine, error) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise EngineError(
                    f"{engine} is being built by another process; wait for it, or give this one another name with -o"
                ) from None
            # The other build may have removed the file between our opening and locking it.
            if path.exists() and os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
