"""Check whether a machine can run a file, before anything is deserialized: one sentence, with a command as the fix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import EngineError
from ..files import onnx_file
from ..files.onnx_file import OnnxFile, file_sha256
from .api import (
    INSTALL,
    NAMES,
    OLDEST_COMPUTE_CAPABILITY,
    OLDEST_DRIVER,
    OLDEST_DRIVER_CUDA,
    RTX_COMPUTE_CAPABILITIES,
    SLOW_FP16,
    SM75,
    TENSORRT8_COMPUTE_CAPABILITIES,
    name_with_version,
)
from .card import Card, card_path, read_card
from .machine import Machine, number


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether the machine can run the file, and one sentence: that it can, or the reason and the fix."""

    can_run: bool
    sentence: str


def check_file(path: Path, machine: Machine) -> Verdict:
    """Check X.engine or X.onnx. Raises EngineError or ModelFileError for a file that is missing or cannot be read."""
    return check_onnx(path, machine) if path.suffix == ".onnx" else check_engine(path, machine)


def check_engine(path: Path, machine: Machine) -> Verdict:
    """Check an engine by its card and SHA-256. Raises EngineError if it is missing or its card cannot be read."""
    if not path.is_file():
        raise EngineError(f"{path}: no such file; expected an engine or an ONNX file")
    card = read_card(path)
    if card is None:
        return _no(
            f"{path.name} has no card {card_path(path).name} beside it to describe it; copy the card too, "
            "or build the engine again: build-engine --help"
        )
    if file_sha256(path) != card.engine_sha256:
        return _no(
            f"{path.name} is not the file that its card describes (its SHA-256 differs); build it again: {card.rebuild}"
        )
    return check_card(path, card, machine)


def check_card(path: Path, card: Card, machine: Machine) -> Verdict:
    """Check an engine at `path` by its card alone."""
    problem = (
        _gpu_problem(card, machine) or _library_problem(path, card, machine) or _target_problem(path, card, machine)
    )
    if problem:
        return _no(problem)
    return Verdict(
        can_run=True,
        sentence=f"{path.name} ({card.onnx_metadata[onnx_file.MODEL]}, {card.precision}) runs here: "
        f"{name_with_version(card.flavor, machine.tensorrt[card.flavor])} on {machine.gpu_name}",
    )


def check_onnx(path: Path, machine: Machine) -> Verdict:
    """Check an ONNX file. Raises ModelFileError for a file that was not made by this package."""
    file = OnnxFile.read(path)
    if machine.onnxruntime is None:
        return _no(f"{path.name} needs ONNX Runtime, which is not installed: pip install 'amcnet[cpu]'")
    where = "GPU" if machine.has_gpu and "CUDA" in machine.onnxruntime_providers else "CPU"
    untrained = "; its weights are untrained: good for timing only" if file.untrained else ""
    # Only products are INT8 in it, and each result is converted back to FP32: slow on a CPU.
    slow = file.precision == "int8" and file.metadata.get(onnx_file.INT8_TARGET) != "cpu" and where == "CPU"
    advice = "; it is made for TensorRT and slow here: amc-calibrate MODEL.onnx --target cpu" if slow else ""
    return Verdict(
        can_run=True,
        sentence=f"{path.name} ({file.model}, {file.precision}) runs here: ONNX Runtime {machine.onnxruntime} on the "
        f"{where}{advice}{untrained}",
    )


def describe(machine: Machine) -> Iterator[str]:
    """GPU, driver and libraries of the machine, one line each, and what can be built and run with them."""
    yield f"GPU           {machine.gpu_name if machine.has_gpu else 'none found'}"
    cuda = f", CUDA up to {machine.cuda[0]}.{machine.cuda[1]}" if machine.cuda else ""
    yield f"driver        {(machine.driver or 'version unknown') + cuda if machine.has_gpu else 'none found'}"
    names = {flavor: name for flavor, name in NAMES.items() if flavor != "tensorrt-8" or _concerns_tensorrt8(machine)}
    for flavor, name in names.items():
        yield f"{name:<13} {machine.tensorrt.get(flavor, 'not installed')}"
    yield f"cuda-python   {'installed' if machine.cuda_python else 'not installed'}"
    providers = f" ({', '.join(machine.onnxruntime_providers)})" if machine.onnxruntime_providers else ""
    yield f"ONNX Runtime  {machine.onnxruntime or 'not installed'}{providers}"
    yield ""
    yield f"run ONNX files on the CPU: {_yes_or(_no_onnxruntime(machine))}"
    yield f"run ONNX files on the GPU: {_yes_or(_no_gpu(machine) or _no_cuda_provider(machine))}"
    for flavor, name in names.items():
        missing = "" if flavor in machine.tensorrt else f"no: {INSTALL[flavor]}"
        unsupported = _unsupported_gpu(flavor, machine)
        # TensorRT times kernels on the target GPU; TensorRT-RTX compiles without a GPU.
        building = missing if flavor == "tensorrt-rtx" else unsupported or missing or _no_gpu(machine)
        yield f"build {name} engines: {_yes_or(building)}"
        no_cuda_python = "" if machine.cuda_python else f"no: {_install_cuda_python(flavor)}"
        yield f"run {name} engines: {_yes_or(_no_gpu(machine) or unsupported or missing or no_cuda_python)}"


def _concerns_tensorrt8(machine: Machine) -> bool:
    return "tensorrt-8" in machine.tensorrt or (machine.is_too_old and machine.fits_tensorrt8)


def _gpu_problem(card: Card, machine: Machine) -> str:
    name = NAMES[card.flavor]
    if not machine.has_gpu:
        return (
            f"no GPU or no driver was found, and {name} engines need both; install the NVIDIA driver (nvidia-smi shows "
            f"it){_or_on_the_cpu(card)}"
        )
    if card.flavor == "tensorrt-8" and not machine.fits_tensorrt8:
        oldest, newest = TENSORRT8_COMPUTE_CAPABILITIES
        return f"{name} supports SM {oldest} to {newest}, this GPU is {machine.gpu_name}{_instead(card, machine)}"
    if card.flavor != "tensorrt-8" and machine.is_too_old:
        older = f"{machine.gpu_name} is older than SM {OLDEST_COMPUTE_CAPABILITY} and cannot run {name}"
        return older + _instead(card, machine)
    needed = OLDEST_DRIVER_CUDA[card.flavor]
    if machine.cuda is not None and machine.cuda < needed:
        return (
            f"the driver {machine.driver or ''} supports CUDA up to {machine.cuda[0]}.{machine.cuda[1]}; {name} needs "
            f"{needed[0]}.{needed[1]}; update the NVIDIA driver to {OLDEST_DRIVER[card.flavor]} or later"
        )
    return ""


def _instead(card: Card, machine: Machine) -> str:
    """Advice for a GPU that the library of the card does not support: a library that does, or ONNX Runtime."""
    if not machine.is_too_old:
        return f"; rebuild it: {_with_flavor(card, 'tensorrt')}"
    if not machine.fits_tensorrt8:
        return f"; run {card.onnx_name} in ONNX Runtime instead: pip install 'amcnet[cpu]'"
    rebuild = _with_flavor(card, "tensorrt-8")
    if machine.compute_capability in SLOW_FP16:  # refused by build-engine
        rebuild = rebuild.replace(" --fp16", "").replace(" --allow-clipping", "")
    install = "" if "tensorrt-8" in machine.tensorrt else f"{INSTALL['tensorrt-8']}; then "
    return f"; TensorRT 8 supports it: {install}{rebuild}"


def _or_on_the_cpu(card: Card) -> str:
    """Advice for a machine without a GPU. A pipeline needs one; the networks in it do not."""
    if card.onnx_metadata[onnx_file.MODEL] == "pipeline":
        return ", or run the networks in it on the CPU: amc-infer --help"
    return f", or run {card.onnx_name} on the CPU"


def _library_problem(path: Path, card: Card, machine: Machine) -> str:
    needed = name_with_version(card.flavor, card.version)
    version = machine.tensorrt.get(card.flavor)
    install = f"pip install {card.flavor}-cu13=={card.version}"
    if card.flavor == "tensorrt-8":
        install = INSTALL["tensorrt-8"]
    if version is None:
        return f"{path.name} needs {needed}, which is not installed: {install}"
    if not machine.cuda_python:
        fix = _install_cuda_python(card.flavor)
        return f"{path.name} needs cuda-python to be run, which is not installed: {fix}"
    if number(version) == number(card.version) or (card.version_compatible and _is_later(version, card.version)):
        return ""
    return f"{path.name} was built by {needed}, this machine has {version}; rebuild it: {card.rebuild}; or {install}"


def _target_problem(path: Path, card: Card, machine: Machine) -> str:
    own = machine.compute_capability or ""
    if own in card.compute_capability:
        return ""
    # This mode, "Ampere plus", requires SM 8.0 or later both to build and to run.
    if card.hardware_compatible and number(own) >= (8, 0):
        return ""
    built_for = f"{path.name} was built for SM {', '.join(card.compute_capability)}, this GPU is {machine.gpu_name}"
    if card.flavor == "tensorrt-rtx" and own not in RTX_COMPUTE_CAPABILITIES:
        return f"{built_for}, which TensorRT-RTX does not support; rebuild it: {_with_flavor(card, 'tensorrt')}"
    if card.flavor == "tensorrt-rtx" and own == SM75 and card.precision == "fp32":
        only = "for which TensorRT-RTX builds no fp32"
        return f"{built_for}, {only}; rebuild it here: {_with_flavor(card, 'tensorrt')}"
    target = f" --compute-capability {own}" if card.flavor == "tensorrt-rtx" else ""
    return f"{built_for}; rebuild it{' here' if not target else ''}: {card.rebuild}{target}"


def _with_flavor(card: Card, flavor: str) -> str:
    return card.rebuild.replace(f"--flavor {card.flavor}", f"--flavor {flavor}")


def _is_later(version: str, built: str) -> bool:
    """Whether a version-compatible engine runs: in later releases of its major version, and from TensorRT 10 in 11."""
    ours, theirs = number(version), number(built)
    return ours >= theirs and (ours[0] == theirs[0] or (theirs[0], ours[0]) == (10, 11))


def _no_onnxruntime(machine: Machine) -> str:
    return "" if machine.onnxruntime else "no: pip install 'amcnet[cpu]'"


def _no_gpu(machine: Machine) -> str:
    return "" if machine.has_gpu else "no, there is no GPU or no driver"


def _no_cuda_provider(machine: Machine) -> str:
    if "CUDA" in machine.onnxruntime_providers:
        return ""
    return "no: pip uninstall onnxruntime; pip install 'amcnet[gpu]'"


def _unsupported_gpu(flavor: str, machine: Machine) -> str:
    if machine.is_too_old and flavor != "tensorrt-8":
        return f"no, {machine.gpu_name} is older than SM {OLDEST_COMPUTE_CAPABILITY}"
    supported = {
        "tensorrt": True,
        "tensorrt-rtx": machine.compute_capability in RTX_COMPUTE_CAPABILITIES,
        "tensorrt-8": machine.fits_tensorrt8,
    }
    return "" if supported[flavor] or not machine.has_gpu else f"no, it does not support {machine.gpu_name}"


def _install_cuda_python(flavor: str) -> str:
    return "pip install 'cuda-python<13'" if flavor == "tensorrt-8" else "pip install cuda-python"


def _yes_or(problem: str) -> str:
    return problem or "yes"


def _no(sentence: str) -> Verdict:
    return Verdict(can_run=False, sentence=sentence)
