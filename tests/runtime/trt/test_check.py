"""`amc-check` on fake machines: its sentence for each, without deserializing an engine."""

from __future__ import annotations

import stat
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from amcnet.runtime.errors import EngineError, ModelFileError
from amcnet.runtime.files import onnx_file
from amcnet.runtime.trt.card import card_path
from amcnet.runtime.trt.check import check_file, describe
from amcnet.runtime.trt.machine import Machine

NONE = Machine(tensorrt={"tensorrt-rtx": "1.7.1.116"}, onnxruntime="1.22.0", onnxruntime_providers=("CPU",))
RTX_3060 = Machine(
    gpu="GeForce RTX 3060",
    compute_capability="8.6",
    driver="580.65.06",
    cuda=(13, 0),
    tensorrt={"tensorrt": "10.16.1.11", "tensorrt-rtx": "1.7.1.116"},
    cuda_python=True,
    onnxruntime="1.22.0",
    onnxruntime_providers=("CUDA", "CPU"),
)
GTX_1080_TI = replace(RTX_3060, gpu="GeForce GTX 1080 Ti", compute_capability="6.1")
WITH_TENSORRT_8 = replace(GTX_1080_TI, driver="535.54.03", cuda=(12, 2), tensorrt={"tensorrt-8": "8.6.1"})
INSTALL_8 = "pip install 'setuptools>=77' && pip install --no-build-isolation 'amcnet[tensorrt8]' (Python 3.11)"
T4 = replace(RTX_3060, gpu="Tesla T4", compute_capability="7.5")
H200 = replace(RTX_3060, gpu="H200", compute_capability="9.0")
PLAIN = {
    "flavor": "tensorrt",
    "version": "10.16.1.11",
    "compute_capability": ("8.6",),
    "gpu": "GeForce RTX 3060",
    "rebuild": "build-engine amcnet.onnx --fp16 --flavor tensorrt",
}

MakeEngine = Callable[..., Path]


def _sentence(engine: Path, machine: Machine) -> str:
    verdict = check_file(engine, machine)
    assert not verdict.can_run
    return verdict.sentence


def test_an_engine_for_this_gpu_runs(write_engine: MakeEngine) -> None:
    verdict = check_file(write_engine(), RTX_3060)
    assert verdict.can_run
    assert verdict.sentence == (
        "x.engine (amcnet, fp16) runs here: TensorRT-RTX 1.7.1.116 on GeForce RTX 3060 (SM 8.6)"
    )


def test_an_engine_of_another_gpu_is_refused(write_engine: MakeEngine) -> None:
    assert _sentence(write_engine(), T4) == (
        "x.engine was built for SM 8.6, 8.9, this GPU is Tesla T4 (SM 7.5); rebuild it: "
        "build-engine amcnet.onnx --fp16 --flavor tensorrt-rtx --compute-capability 7.5"
    )
    assert _sentence(write_engine(**PLAIN), T4) == (
        "x.engine was built for SM 8.6, this GPU is Tesla T4 (SM 7.5); rebuild it here: "
        "build-engine amcnet.onnx --fp16 --flavor tensorrt"
    )


def test_tensorrt_rtx_refuses_fp32_products_for_sm75(write_engine: MakeEngine) -> None:
    card = {"precision": "fp32", "rebuild": "build-engine amcnet.onnx --flavor tensorrt-rtx"}
    assert _sentence(write_engine(**card), T4) == (
        "x.engine was built for SM 8.6, 8.9, this GPU is Tesla T4 (SM 7.5), for which TensorRT-RTX builds no fp32; "
        "rebuild it here: build-engine amcnet.onnx --flavor tensorrt"
    )


def test_a_gpu_unknown_to_tensorrt_rtx_is_refused(write_engine: MakeEngine) -> None:
    assert _sentence(write_engine(), H200).endswith(
        "this GPU is H200 (SM 9.0), which TensorRT-RTX does not support; rebuild it: "
        "build-engine amcnet.onnx --fp16 --flavor tensorrt"
    )


def test_a_hardware_compatible_engine_runs_from_ampere_on(write_engine: MakeEngine) -> None:
    engine = write_engine(**PLAIN, hardware_compatible=True)
    assert check_file(engine, replace(RTX_3060, compute_capability="12.0")).can_run
    assert check_file(engine, H200).can_run
    assert "was built for SM 8.6" in _sentence(engine, T4)


def test_an_engine_of_another_version_is_refused(write_engine: MakeEngine) -> None:
    later = replace(RTX_3060, tensorrt={"tensorrt-rtx": "1.8.0.1"})
    assert _sentence(write_engine(), later) == (
        "x.engine was built by TensorRT-RTX 1.7.1.116, this machine has 1.8.0.1; rebuild it: "
        "build-engine amcnet.onnx --fp16 --flavor tensorrt-rtx; or pip install tensorrt-rtx-cu13==1.7.1.116"
    )


@pytest.mark.parametrize(
    ("built", "installed", "runs"),
    [
        ("10.13.0.35", "10.16.1.11", True),
        ("10.16.1.11", "10.16.1.11", True),
        ("10.16.1.11", "11.4.0.106", True),
        ("10.16.1.11", "10.13.0.35", False),
        ("11.4.0.106", "10.16.1.11", False),
        ("10.16.1.11", "12.0.0.1", False),
    ],
)
def test_a_version_compatible_engine_runs_in_later_versions(
    built: str, installed: str, runs: bool, write_engine: MakeEngine
) -> None:
    machine = replace(RTX_3060, tensorrt={"tensorrt": installed})
    assert check_file(write_engine(**PLAIN | {"version": built}, version_compatible=True), machine).can_run is runs
    assert check_file(write_engine(**PLAIN | {"version": built}), machine).can_run is (built == installed)


def test_a_missing_library_is_reported(write_engine: MakeEngine) -> None:
    assert _sentence(write_engine(), replace(RTX_3060, tensorrt={})) == (
        "x.engine needs TensorRT-RTX 1.7.1.116, which is not installed: pip install tensorrt-rtx-cu13==1.7.1.116"
    )


def test_missing_cuda_python_is_reported(write_engine: MakeEngine) -> None:
    machine = replace(RTX_3060, cuda_python=False)
    assert _sentence(write_engine(), machine) == (
        "x.engine needs cuda-python to be run, which is not installed: pip install cuda-python"
    )
    text = "\n".join(describe(machine))
    assert "build TensorRT-RTX engines: yes" in text
    assert "run TensorRT-RTX engines: no: pip install cuda-python" in text


def test_a_missing_driver_is_reported(write_engine: MakeEngine) -> None:
    assert _sentence(write_engine(), NONE) == (
        "no GPU or no driver was found, and TensorRT-RTX engines need both; install the NVIDIA driver (nvidia-smi "
        "shows it), or run amcnet.onnx on the CPU"
    )
    metadata = {"amcnet.model": "pipeline", "amcnet.checkpoint_sha256": "untrained, seed 1"}
    pipeline = write_engine(onnx_name="pipeline.onnx", onnx_metadata=metadata)
    assert _sentence(pipeline, NONE).endswith(", or run the networks in it on the CPU: amc-infer --help")


def test_an_old_driver_is_reported(write_engine: MakeEngine) -> None:
    old = replace(RTX_3060, driver="535.54.03", cuda=(12, 2))
    assert _sentence(write_engine(), old) == (
        "the driver 535.54.03 supports CUDA up to 12.2; TensorRT-RTX needs 13.0; update the NVIDIA driver to 580 or "
        "later"
    )


@pytest.mark.parametrize(("changed", "library"), [({}, "TensorRT-RTX"), (PLAIN, "TensorRT")])
def test_a_gtx_1080_ti_needs_tensorrt_8(changed: dict[str, object], library: str, write_engine: MakeEngine) -> None:
    assert _sentence(write_engine(**changed), GTX_1080_TI) == (
        f"GeForce GTX 1080 Ti (SM 6.1) is older than SM 7.5 and cannot run {library}; TensorRT 8 supports it: "
        f"{INSTALL_8}; then build-engine amcnet.onnx --flavor tensorrt-8"
    )
    p100 = replace(WITH_TENSORRT_8, gpu="Tesla P100", compute_capability="6.0")
    assert _sentence(write_engine(**changed), p100).endswith(
        "TensorRT 8 supports it: build-engine amcnet.onnx --fp16 --flavor tensorrt-8"
    ), "it is fast in FP16"
    kepler = replace(GTX_1080_TI, gpu="Tesla K80", compute_capability="3.7")
    assert _sentence(write_engine(**changed), kepler).endswith(
        "run amcnet.onnx in ONNX Runtime instead: pip install 'amcnet[cpu]'"
    )


def test_an_engine_of_tensorrt_8_is_checked(write_engine: MakeEngine) -> None:
    rebuild = "build-engine amcnet.onnx --flavor tensorrt-8"
    engine = write_engine(
        flavor="tensorrt-8", version="8.6.1", compute_capability=("6.1",), precision="fp32", rebuild=rebuild
    )
    assert check_file(engine, WITH_TENSORRT_8).sentence == (
        "x.engine (amcnet, fp32) runs here: TensorRT 8.6.1 on GeForce GTX 1080 Ti (SM 6.1)"
    )
    assert _sentence(engine, replace(WITH_TENSORRT_8, tensorrt={})) == (
        f"x.engine needs TensorRT 8.6.1, which is not installed: {INSTALL_8}"
    )
    assert _sentence(engine, replace(WITH_TENSORRT_8, tensorrt={"tensorrt-8": "8.6.2"})) == (
        f"x.engine was built by TensorRT 8.6.1, this machine has 8.6.2; rebuild it: {rebuild}; or {INSTALL_8}"
    )
    assert _sentence(engine, replace(WITH_TENSORRT_8, cuda_python=False)).endswith("pip install 'cuda-python<13'")
    assert _sentence(engine, replace(WITH_TENSORRT_8, driver="470.82", cuda=(11, 4))) == (
        "the driver 470.82 supports CUDA up to 11.4; TensorRT 8 needs 12.0; update the NVIDIA driver to 525 or later"
    )
    assert _sentence(engine, replace(WITH_TENSORRT_8, gpu="GeForce RTX 5090", compute_capability="12.0")) == (
        "TensorRT 8 supports SM 5.0 to 9.0, this GPU is GeForce RTX 5090 (SM 12.0); rebuild it: "
        "build-engine amcnet.onnx --flavor tensorrt"
    )
    assert _sentence(engine, replace(WITH_TENSORRT_8, gpu="Tesla T4", compute_capability="7.5")) == (
        f"x.engine was built for SM 6.1, this GPU is Tesla T4 (SM 7.5); rebuild it here: {rebuild}"
    )


def test_a_changed_engine_is_reported(write_engine: MakeEngine) -> None:
    engine = write_engine()
    engine.write_bytes(b"another plan")
    assert _sentence(engine, RTX_3060) == (
        "x.engine is not the file that its card describes (its SHA-256 differs); build it again: "
        "build-engine amcnet.onnx --fp16 --flavor tensorrt-rtx"
    )


def test_a_missing_card_is_reported(write_engine: MakeEngine) -> None:
    engine = write_engine()
    card_path(engine).unlink()
    assert _sentence(engine, RTX_3060) == (
        "x.engine has no card x.engine.json beside it to describe it; copy the card too, or build "
        "the engine again: build-engine --help"
    )


def test_files_that_cannot_be_read_are_reported(tmp_path: Path, write_engine: MakeEngine) -> None:
    with pytest.raises(EngineError, match="no such file"):
        check_file(tmp_path / "y.engine", RTX_3060)
    with pytest.raises(ModelFileError, match="no such file"):
        check_file(tmp_path / "y.onnx", RTX_3060)
    engine = write_engine()
    card_path(engine).write_text("{}")
    with pytest.raises(EngineError, match="cannot be read as an engine's card"):
        check_file(engine, RTX_3060)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    graph = onnx.parser.parse_graph("g (float[1] x) => (float[1] y) { y = Relu (x) }")
    proto = onnx.helper.make_model(graph)
    values = dict.fromkeys(onnx_file.REQUIRED, "fp32") | {
        onnx_file.MODEL: "amcnet",
        onnx_file.CHECKPOINT_SHA256: "untrained, seed 1",
    }
    onnx.helper.set_model_props(proto, values)
    path = tmp_path / "amcnet.onnx"
    onnx.save(proto, path)
    return path


def test_onnx_files_are_checked(model: Path) -> None:
    verdict = check_file(model, NONE)
    assert verdict.can_run
    assert verdict.sentence == (
        "amcnet.onnx (amcnet, fp32) runs here: ONNX Runtime 1.22.0 on the CPU; its weights are untrained: good for "
        "timing only"
    )
    assert "on the GPU" in check_file(model, GTX_1080_TI).sentence
    assert _sentence(model, replace(NONE, onnxruntime=None)) == (
        "amcnet.onnx needs ONNX Runtime, which is not installed: pip install 'amcnet[cpu]'"
    )


def test_int8_files_are_checked(model: Path, write_engine: MakeEngine) -> None:
    card = {"precision": "int8", "rebuild": "build-engine amcnet.int8.onnx --int8 --flavor tensorrt-rtx"}
    engine = write_engine(**card)
    assert check_file(engine, RTX_3060).sentence.startswith("x.engine (amcnet, int8) runs here")
    assert _sentence(engine, T4).endswith(f"rebuild it: {card['rebuild']} --compute-capability 7.5")
    for target, machine, advised in (("tensorrt", NONE, True), ("cpu", NONE, False), ("tensorrt", RTX_3060, False)):
        proto = onnx.load(model)
        values = {entry.key: entry.value for entry in proto.metadata_props}
        onnx.helper.set_model_props(proto, values | {onnx_file.PRECISION: "int8", onnx_file.INT8_TARGET: target})
        onnx.save(proto, model)
        verdict = check_file(model, machine)
        assert verdict.can_run
        assert ("slow here: amc-calibrate MODEL.onnx --target cpu" in verdict.sentence) is advised


@pytest.mark.parametrize(
    ("machine", "on_gpu"),
    [
        (RTX_3060, "yes"),
        (GTX_1080_TI, "yes"),
        (replace(RTX_3060, onnxruntime_providers=("CPU",)), "no: pip uninstall onnxruntime; pip install 'amcnet[gpu]'"),
        (NONE, "no, there is no GPU or no driver"),
        (replace(NONE, onnxruntime_providers=("CUDA", "CPU")), "no, there is no GPU or no driver"),
    ],
)
def test_onnx_files_are_checked_for_the_gpu(machine: Machine, on_gpu: str, model: Path) -> None:
    assert f"run ONNX files on the GPU: {on_gpu}" in list(describe(machine))
    assert ("on the GPU" in check_file(model, machine).sentence) is (on_gpu == "yes")


def test_a_machine_with_all_libraries_is_described() -> None:
    lines = list(describe(RTX_3060))
    assert lines[:6] == [
        "GPU           GeForce RTX 3060 (SM 8.6)",
        "driver        580.65.06, CUDA up to 13.0",
        "TensorRT      10.16.1.11",
        "TensorRT-RTX  1.7.1.116",
        "cuda-python   installed",
        "ONNX Runtime  1.22.0 (CUDA, CPU)",
    ]
    assert [line.rsplit(": ")[1] for line in lines[7:]] == ["yes"] * 6


def test_a_machine_without_a_gpu_is_described() -> None:
    text = "\n".join(describe(NONE))
    assert "GPU           none found" in text
    assert "run ONNX files on the CPU: yes" in text
    assert "build TensorRT engines: no: pip install 'amcnet[tensorrt]'" in text
    assert "build TensorRT-RTX engines: yes" in text
    assert "run TensorRT-RTX engines: no, there is no GPU or no driver" in text


def test_a_machine_with_a_1080_ti_is_described() -> None:
    text = "\n".join(describe(GTX_1080_TI))
    assert "run ONNX files on the GPU: yes" in text
    assert "run TensorRT engines: no, GeForce GTX 1080 Ti (SM 6.1) is older than SM 7.5" in text
    assert "build TensorRT engines: no, GeForce GTX 1080 Ti (SM 6.1) is older than SM 7.5" in text
    assert "build TensorRT-RTX engines: yes" in text
    assert f"build TensorRT 8 engines: no: {INSTALL_8}" in text
    assert "TensorRT 8    not installed" in text
    text = "\n".join(describe(WITH_TENSORRT_8))
    assert "TensorRT 8    8.6.1" in text
    assert "build TensorRT 8 engines: yes\nrun TensorRT 8 engines: yes" in text


def test_tensorrt_8_is_shown_only_for_gpus_that_need_it() -> None:
    assert "TensorRT 8" not in "\n".join([*describe(RTX_3060), *describe(NONE)])


def test_the_gpu_is_read_from_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\n"
        'if [ "$1" ]; then echo "NVIDIA GeForce RTX 3060, 8.6, 580.65.06"; echo "Tesla T4, 7.5, 580.65.06"; '
        'else echo "| NVIDIA-SMI 580.65.06    Driver Version: 580.65.06    CUDA Version: 13.0  |"; fi\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    machine = Machine.here()
    assert (machine.gpu_name, machine.driver, machine.cuda) == ("GeForce RTX 3060 (SM 8.6)", "580.65.06", (13, 0))


def test_an_nvidia_smi_that_fails_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'\nexit 18\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "cuda", None)
    assert not Machine.here().has_gpu


@pytest.mark.parametrize("works", [True, False])
def test_without_nvidia_smi_the_gpu_is_read_from_cuda_python(
    works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attributes = types.SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR="major", CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR="minor"
    )
    driver = types.ModuleType("cuda.bindings.driver")
    driver.__dict__.update(
        CUdevice_attribute=attributes,
        cuInit=lambda flags: (0 if works else 100,),
        cuDriverGetVersion=lambda: (0, 13010),
        cuDeviceGet=lambda index: (0, 7),
        cuDeviceGetName=lambda length, device: (0, b"NVIDIA L4\0\0\0"),
        cuDeviceGetAttribute=lambda which, device: (0, {"major": 8, "minor": 9}[which]),
    )
    for name, module in {
        "cuda": types.ModuleType("cuda"),
        "cuda.bindings": types.ModuleType("cuda.bindings"),
        "cuda.bindings.driver": driver,
    }.items():
        module.__spec__ = types.SimpleNamespace(submodule_search_locations=[])  # type: ignore[assignment]
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("PATH", str(tmp_path))
    machine = Machine.here()
    assert machine.cuda_python
    assert (machine.gpu_name, machine.cuda) == (("L4 (SM 8.9)", (13, 1)) if works else ("no GPU", None))


def _amc_check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from amcnet.runtime.trt.check_cli import main; sys.exit(main())"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)


def test_the_exit_status_of_amc_check_is_the_result(model: Path, write_engine: MakeEngine) -> None:
    assert (_amc_check().returncode, _amc_check(model).returncode) == (0, 0)
    engine = write_engine()
    engine.write_bytes(b"another plan")
    result = _amc_check(engine)
    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout.startswith("x.engine is not the file")
    result = _amc_check("none.engine")
    assert (result.returncode, result.stdout) == (2, "")
    assert "error: none.engine: no such file" in result.stderr
