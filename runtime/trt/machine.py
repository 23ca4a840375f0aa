"""Detection of the GPU, its driver, TensorRT, TensorRT-RTX and ONNX Runtime's providers."""

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
    """The first GPU and the installed inference libraries. None where something is missing or unknown.

    gpu: name such as "GeForce RTX 3060". compute_capability: such as "8.6". driver: version such as "580.65.06".
    cuda: newest CUDA version that the driver supports, such as (13, 0).
    tensorrt: installed flavor (a key of api.MODULES) -> version. cuda_python: whether it is installed.
    onnxruntime: version. onnxruntime_providers: names without the suffix "ExecutionProvider".
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
        """Detect this machine: by nvidia-smi, or by cuda-python where nvidia-smi is missing (containers).

        TensorRT and TensorRT-RTX are looked up, not imported: importing may abort the process.
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
        machine = _query_nvidia_smi(machine)
        if machine.compute_capability is None and machine.cuda_python:
            machine = _query_cuda_python(machine)
        return _query_onnxruntime(machine)

    @property
    def has_gpu(self) -> bool:
        return self.compute_capability is not None

    @property
    def is_too_old(self) -> bool:
        """Whether the GPU is older than TensorRT 10 supports, such as a GTX 1080 Ti."""
        oldest = number(api.OLDEST_COMPUTE_CAPABILITY)
        return self.compute_capability is not None and number(self.compute_capability) < oldest

    @property
    def fits_tensorrt8(self) -> bool:
        """Whether TensorRT 8.6 supports the GPU."""
        oldest, newest = map(number, api.TENSORRT8_COMPUTE_CAPABILITIES)
        return self.compute_capability is not None and oldest <= number(self.compute_capability) <= newest

    @property
    def gpu_name(self) -> str:
        """Name and compute capability, such as "GeForce RTX 3060 (SM 8.6)"; "no GPU" without one."""
        return f"{self.gpu} (SM {self.compute_capability})" if self.has_gpu else "no GPU"


@functools.cache
def this_machine() -> Machine:
    """`Machine.here()`, queried once per process."""
    return Machine.here()


def number(version: str) -> tuple[int, ...]:
    """Return a version or compute capability as comparable integers: "10.16.1.11" -> (10, 16, 1, 11)."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _query_nvidia_smi(machine: Machine) -> Machine:
    program = shutil.which("nvidia-smi")
    if program is None:
        return machine
    try:
        query = [program, "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"]
        output = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
        cuda = _driver_cuda(machine) or _header_cuda(program)
    except (OSError, subprocess.SubprocessError):
        return machine  # for example after a driver update without a restart
    rows = [[cell.strip() for cell in row] for row in csv.reader(output.splitlines()) if len(row) == 3]
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


def _query_cuda_python(machine: Machine) -> Machine:
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


def _query_onnxruntime(machine: Machine) -> Machine:
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
