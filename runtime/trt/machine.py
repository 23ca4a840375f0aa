"""What a machine has for running networks: GPU, driver, TensorRT's flavors, ONNX Runtime's providers."""

from __future__ import annotations

import csv
import functools
import importlib
import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass, replace

from . import api


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The first GPU and what is installed. None stands for what is not there or does not say.

    compute_capability such as "8.6"; driver such as "580.65.06"; cuda, the newest CUDA that the driver knows, as
    (13, 0). tensorrt: flavor -> version, of those installed. onnxruntime: its version.
    """

    gpu: str | None = None
    compute_capability: str | None = None
    driver: str | None = None
    cuda: tuple[int, int] | None = None
    tensorrt: dict[str, str]
    cuda_python: bool = False
    onnxruntime: str | None = None
    onnxruntime_providers: tuple[str, ...] = ()

    @classmethod
    def here(cls) -> Machine:
        """This machine. Asks the driver through nvidia-smi, and where that is missing (containers) through cuda-python.

        The flavors are looked up and not imported: importing may abort.
        """
        versions = {flavor: api.installed_version(flavor) for flavor in api.MODULES}
        machine = cls(
            tensorrt={
                flavor: version or "of unknown version"
                for flavor, version in versions.items()
                if api.is_installed(flavor)
            },
            cuda_python=_has("cuda.bindings"),
        )
        machine = _ask_nvidia_smi(machine)
        if machine.compute_capability is None and machine.cuda_python:
            machine = _ask_cuda_python(machine)
        return _ask_onnxruntime(machine)

    @property
    def has_gpu(self) -> bool:
        return self.compute_capability is not None

    @property
    def is_too_old(self) -> bool:
        """Whether there is a GPU, but one that no TensorRT from 10 on runs on, such as a GTX 1080 Ti."""
        oldest = number(api.OLDEST_COMPUTE_CAPABILITY)
        return self.compute_capability is not None and number(self.compute_capability) < oldest

    @property
    def gpu_name(self) -> str:
        """Such as "GeForce RTX 3060 (SM 8.6)"."""
        return f"{self.gpu} (SM {self.compute_capability})" if self.has_gpu else "no GPU"


@functools.cache
def this_machine() -> Machine:
    """`Machine.here()`, queried once per process."""
    return Machine.here()


def number(version: str) -> tuple[int, ...]:
    """ "10.16.1.11" -> (10, 16, 1, 11), so that versions and compute capabilities can be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _ask_nvidia_smi(machine: Machine) -> Machine:
    program = shutil.which("nvidia-smi")
    if program is None:
        return machine
    try:
        query = [program, "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"]
        answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
        cuda = _driver_cuda(machine) or _header_cuda(program)
    except (OSError, subprocess.SubprocessError):
        return machine  # it says so, for example, when the driver was updated and the machine not restarted
    rows = [[cell.strip() for cell in row] for row in csv.reader(answer.splitlines()) if len(row) == 3]
    if not rows:
        return machine
    gpu, compute_capability, driver = rows[0]
    return replace(
        machine,
        gpu=gpu.removeprefix("NVIDIA "),
        compute_capability=compute_capability,
        driver=driver,
        cuda=cuda,
    )


def _driver_cuda(machine: Machine) -> tuple[int, int] | None:
    """CUDA version of the driver through cuda-python, which spares a second start of nvidia-smi."""
    if not machine.cuda_python:
        return None
    driver = importlib.import_module("cuda.bindings.driver")
    try:
        status, version = driver.cuDriverGetVersion()
    except RuntimeError:  # no libcuda
        return None
    return _cuda_version(version) if int(status) == 0 else None


def _header_cuda(program: str) -> tuple[int, int] | None:
    """CUDA version of the driver in the header that nvidia-smi prints; no query of it returns this value."""
    header = subprocess.run([program], capture_output=True, text=True, timeout=30, check=True).stdout
    found = re.search(r"CUDA Version: (\d+)\.(\d+)", header)
    return (int(found[1]), int(found[2])) if found else None


def _cuda_version(number: int) -> tuple[int, int]:
    """13010 -> (13, 1)"""
    return number // 1000, number % 1000 // 10


def _ask_cuda_python(machine: Machine) -> Machine:
    driver = importlib.import_module("cuda.bindings.driver")
    try:
        if int(driver.cuInit(0)[0]) != 0:
            return machine
        values = [driver.cuDriverGetVersion()]
        status, device = driver.cuDeviceGet(0)
        values += [(status, device), driver.cuDeviceGetName(64, device)]
        attribute = driver.CUdevice_attribute
        for which in (
            attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
            attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
        ):
            values.append(driver.cuDeviceGetAttribute(which, device))
    except RuntimeError:  # no libcuda
        return machine
    if any(int(status) != 0 for status, _ in values):
        return machine
    version, _, name, major, minor = (value for _, value in values)
    return replace(
        machine,
        gpu=name.split(b"\0")[0].decode().removeprefix("NVIDIA "),
        compute_capability=f"{major}.{minor}",
        cuda=_cuda_version(version),
    )


def _ask_onnxruntime(machine: Machine) -> Machine:
    try:
        import onnxruntime
    except ImportError:
        return machine
    providers = tuple(name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers())
    return replace(machine, onnxruntime=onnxruntime.__version__, onnxruntime_providers=providers)


def _has(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
