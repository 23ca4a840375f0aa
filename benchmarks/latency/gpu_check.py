"""Check amcnet on an NVIDIA GPU: python -m amcnet.benchmarks.latency.gpu_check (make gpu-check in a clone)

Runs the tests marked needs_cuda. Compares each installed backend in FP32 and FP16 (ONNX Runtime on CUDA, engines of
each flavor, built here), and TensorRT 8 in INT8, with ONNX Runtime on the CPU on a rendered clip. Measures latency by
stage. Writes benchmarks/results/<name of the GPU>.json. Exit status 0: all outputs agree; 1: a check failed; 2: no GPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...engines.build import build_engine
from ...engines.build_options import BuildOptions
from ...engines.inspector import kernel_precisions
from ...engines.precision.fp16 import convert_to_fp16
from ...export.compare.accuracy_gate import MAX_FLOW_PX, MIN_MEAN_IOU, InputBatches
from ...export.compare.fidelity import flow_fidelity, mask_fidelity
from ...runtime.backends.base import Backend, NetworkFile
from ...runtime.backends.onnxruntime_backend import OnnxRuntimeBackend
from ...runtime.backends.open_backend import open_backend
from ...runtime.backends.tensorrt_backend import EngineBackend
from ...runtime.command import cli_entry_point
from ...runtime.errors import BackendError, EngineError
from ...runtime.files.atomic import make_folder, replacing
from ...runtime.files.onnx_file import FLOW_MODELS, OnnxFile
from ...runtime.infer import InferOptions, infer
from ...runtime.inputs.clip_inputs import ClipInputs
from ...runtime.machine_info import available_cores
from ...runtime.segmenter import DEFAULT_AMCNET
from ...runtime.trt.api import NAMES, RTX_COMPUTE_CAPABILITIES, SLOW_FP16
from ...runtime.trt.card import EngineFile
from ...runtime.trt.machine import Machine, this_machine
from ..demo_clip import write_clip
from .environment import environment
from .gpu_stages import backend_gpu_ms
from .latency import MeasureOptions, measure
from .machine_state import MachineWatch

SCHEMA = 2
FRAMES = 24
SECONDS = 5.0
_TESTS = Path("tests")  # of the repository, which is the current folder of make gpu-check


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A backend to check with `file`; `make` returns the engine or ONNX file that it runs."""

    name: str
    file: OnnxFile
    make: Callable[[], NetworkFile]


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE.onnx", help="(default: the bundled network)")
    parser.add_argument(
        "--engine",
        type=Path,
        nargs="*",
        help="check these engines instead of building some; each needs its ONNX file next to it",
    )
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"frames of the rendered clip (default: {FRAMES})")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"measuring time per backend (default: {SECONDS:g})"
    )
    parser.add_argument("--no-tests", action="store_true", help="do not run pytest -m needs_cuda")
    parser.add_argument(
        "--results", type=Path, default=Path("benchmarks/results"), help="output folder (default: benchmarks/results)"
    )
    arguments = parser.parse_args()
    report = gpu_check(
        arguments.files or [DEFAULT_AMCNET],
        arguments.engine,
        frames=arguments.frames,
        seconds=arguments.seconds,
        tests=not arguments.no_tests,
        on_progress=print,
    )
    make_folder(arguments.results)
    path = arguments.results / f"{_file_name(report['environment']['gpu'])}.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n")
    print(f"{'all checks passed' if report['passed'] else 'checks FAILED'}: {path}")
    return 0 if report["passed"] else 1


def gpu_check(
    files: Sequence[Path],
    engines: Sequence[Path] | None = None,
    *,
    frames: int = FRAMES,
    seconds: float = SECONDS,
    tests: bool = True,
    on_progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Check the ONNX files `files`, and return the content of the JSON report.

    engines: check these instead of building engines from `files`. frames: length of the rendered clip. seconds:
    measuring time per backend. tests: also run the tests marked needs_cuda. `on_progress` is called with a line of text
    per step. A backend that fails is reported with its error, and the check goes on. Raises BackendError without a GPU,
    ModelFileError or EngineError.
    """
    machine = this_machine()
    if not machine.has_gpu:
        raise BackendError(
            "no NVIDIA GPU or no driver was found; nothing was checked. Fix: run this on a machine with an NVIDIA GPU; "
            "amc-check lists what this machine supports"
        )
    with tempfile.TemporaryDirectory() as folder, MachineWatch() as watch:
        clip = Path(folder) / "clip.mp4"
        write_clip(clip, frames)
        tested = _run_tests(on_progress) if tests else {"status": None, "summary": "not run"}
        results = _check_all(_candidates(files, engines, machine, clip), clip, seconds, on_progress)
    checked = [result for of_file in results.values() for result in of_file.values()]
    return {
        "schema": SCHEMA,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(),
        "stability": watch.report(),
        "tests": tested,
        "clip": f"rendered, {frames} frames of 854x480",
        "results": results,
        "passed": tested["status"] in (0, None) and bool(checked) and all(result["passed"] for result in checked),
    }


def _check_all(
    candidates: Iterable[Candidate], clip: Path, seconds: float, on_progress: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """The result of each candidate, by file and name."""
    results: dict[str, dict[str, Any]] = {}
    for candidate in candidates:
        on_progress(f"{candidate.file.path.name}: {candidate.name}")
        result = check(candidate, clip, seconds)
        results.setdefault(candidate.file.path.name, {})[candidate.name] = result
        on_progress(f"  {result.get('error') or result['fidelity']}")
    return results


def check(candidate: Candidate, clip: Path, seconds: float) -> dict[str, Any]:
    """Compare one candidate with ONNX Runtime on the CPU; measure calls, GPU stages and a run of `infer` on `clip`."""
    input_batches = [item.inputs for item in ClipInputs(candidate.file, [clip])]
    try:
        made = candidate.make()
        with ExitStack() as stack:
            reference = stack.enter_context(OnnxRuntimeBackend(candidate.file, available_cores()))
            backend = stack.enter_context(open_backend(made, 1, "cuda"))
            result = compare(reference, backend, made.model, made.precision, input_batches, seconds)
            result["gpu_ms"] = backend_gpu_ms(backend)
            if isinstance(backend, EngineBackend):
                result["kernels"] = kernel_precisions(backend.engine.layers())
        if isinstance(made, EngineFile):
            result["precision_report"] = str(made.card.precision_report)
        if not made.computes_flow:
            result["run"] = _whole_run(made, clip)
    except (BackendError, EngineError) as error:
        return {"error": str(error), "passed": False}
    return result


def compare(
    reference: Backend, backend: Backend, model: str, precision: str, input_batches: InputBatches, seconds: float
) -> dict[str, Any]:
    """Difference between `backend` and `reference`, whether it is within the bounds, and the latency of a call."""
    if model in FLOW_MODELS:
        flow = flow_fidelity(reference.run, backend.run, input_batches)
        passed, fidelity = flow.median_px <= MAX_FLOW_PX[precision], flow.to_json()
    else:
        masks = mask_fidelity(reference.run, backend.run, input_batches)
        passed, fidelity = masks.mean_iou >= MIN_MEAN_IOU[precision], masks.to_json()
    latency = measure({"call": lambda: backend.run(input_batches[0])}, MeasureOptions(seconds=seconds))["call"]
    return {
        "backend": backend.name,
        "reference": reference.name,
        "precision": precision,
        "fidelity": fidelity,
        "passed": passed,
        "call": latency.to_json(),
    }


def _whole_run(made: NetworkFile, clip: Path) -> dict[str, Any]:
    """Frames per second and latency by stage of `infer`, from decoding to the overlay."""
    model = {"engine": made.path} if isinstance(made, EngineFile) else {"amcnet": made.path, "device": "cuda"}
    options = InferOptions(source=clip, output=clip.with_name("out"), overwrite=True, **model)
    report = infer(options)
    return {name: report[name] for name in ("backend", "fps", "latency_ms")}


def _candidates(
    files: Sequence[Path], engines: Sequence[Path] | None, machine: Machine, clip: Path
) -> Iterator[Candidate]:
    """The backends to check. Files are built and converted in the folder of `clip`, which INT8 is calibrated with."""
    folder = clip.parent
    if engines is not None:
        for path in engines:
            engine = EngineFile.read(path)
            file = OnnxFile.read(path.with_name(engine.card.onnx_name))
            if file.sha256() != engine.card.onnx_sha256:
                raise EngineError(
                    f"{path} was not built from {file.path}: the SHA-256 of its card is that of another file. "
                    f"Fix: {engine.card.rebuild}"
                )
            yield Candidate(name=f"{NAMES[engine.card.flavor]} {engine.precision}", file=file, make=_same(engine))
        return
    for path in files:
        file = OnnxFile.read(path)
        if file.model != "pipeline" and "CUDA" in machine.onnxruntime_providers:
            yield Candidate(name="ONNX Runtime CUDA fp32", file=file, make=_same(file))
            yield Candidate(name="ONNX Runtime CUDA fp16", file=file, make=_fp16(file, folder))
        for flavor, precision in _buildable(machine):
            output = folder / f"{path.stem}.{flavor}.{precision}.engine"
            options = BuildOptions(model=path, output=output, fp16=precision == "fp16", flavor=flavor)
            if precision == "int8":
                options = replace(options, int8=True, clips=(clip,))
            yield Candidate(name=f"{NAMES[flavor]} {precision}", file=file, make=_built(options))


def _buildable(machine: Machine) -> Iterator[tuple[str, str]]:
    """(flavor, precision) of the engines that can be built for the GPU with the installed libraries."""
    for flavor in machine.tensorrt:
        for precision in ("fp32", "fp16", "int8"):
            if _builds(flavor, precision, machine):
                yield flavor, precision


def _builds(flavor: str, precision: str, machine: Machine) -> bool:
    own = machine.compute_capability
    if flavor == "tensorrt-8":
        return machine.fits_tensorrt8 and not (precision == "fp16" and own in SLOW_FP16)
    if machine.is_too_old or precision == "int8":
        return False
    # TensorRT-RTX has no FP32 matrix products on SM 7.5.
    return flavor == "tensorrt" or (own in RTX_COMPUTE_CAPABILITIES and (precision, own) != ("fp32", "7.5"))


def _same(file: NetworkFile) -> Callable[[], NetworkFile]:
    return lambda: file


def _fp16(file: OnnxFile, folder: Path) -> Callable[[], NetworkFile]:
    return lambda: OnnxFile.read(convert_to_fp16(file.path, folder / f"{file.path.stem}.fp16.onnx").path)


def _built(options: BuildOptions) -> Callable[[], NetworkFile]:
    return lambda: build_engine(options, on_note=lambda note: None)


def _run_tests(on_progress: Callable[[str], None]) -> dict[str, Any]:
    """Exit status and last line of pytest -m needs_cuda; status None without a folder `tests`."""
    if not _TESTS.is_dir():
        return {"status": None, "summary": "not run: no folder tests in the current folder"}
    on_progress("tests marked needs_cuda")
    run = [sys.executable, "-m", "pytest", "-q", "-m", "needs_cuda", "-p", "no:cacheprovider", str(_TESTS)]
    result = subprocess.run(run, capture_output=True, text=True, check=False)
    lines = result.stdout.strip().splitlines() or [result.stderr.strip()[-200:]]
    on_progress(f"  {lines[-1]}")
    return {"status": result.returncode, "summary": lines[-1], "failed": [x for x in lines if x.startswith("FAILED")]}


def _file_name(gpu: str) -> str:
    """ "NVIDIA GeForce RTX 3060 (SM 8.6)" -> "geforce-rtx-3060"."""
    return "-".join(gpu.partition(" (SM")[0].removeprefix("NVIDIA ").lower().split())


if __name__ == "__main__":
    sys.exit(main())
