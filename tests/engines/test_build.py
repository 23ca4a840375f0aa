"""Engine builds with TensorRT-RTX, which needs no GPU; each runs in a child process."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from amcnet.engines import build, build_process
from amcnet.engines.build import build_engine
from amcnet.engines.build_options import BuildOptions
from amcnet.engines.settings import default_flavor
from amcnet.export import Exported, OnnxFile
from amcnet.export.compare.accuracy_gate import OpenEngine
from amcnet.export.compare.onnx_run import onnx_run
from amcnet.runtime.errors import EngineError, ModelFileError, OutputError
from amcnet.runtime.files import onnx_file
from amcnet.runtime.preprocessing.spec import AMCNET
from amcnet.runtime.trt.card import EngineFile, card_path
from amcnet.runtime.trt.machine import Machine

needs_tensorrt_rtx = pytest.mark.skipif(
    Machine.here().tensorrt.get("tensorrt-rtx") is None,
    reason="TensorRT-RTX is not installed: pip install 'amcnet[rtx]'",
)
AMPERE_AND_LATER = ("8.6", "8.9", "12.0")


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Path]:
    """`tiny(graph, **metadata)`: a file with the metadata of this package, of a graph in ONNX's text form."""

    def write(graph: str = "g (float[1, 4] x) => (float[1, 4] y) { y = Relu (x) }", **metadata: str) -> Path:
        model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {graph}')
        values = dict.fromkeys(onnx_file.REQUIRED, "{}") | {onnx_file.MODEL: "amcnet", onnx_file.PRECISION: "fp32"}
        onnx.helper.set_model_props(model, values | metadata)
        path = tmp_path / "tiny.onnx"
        onnx.save(model, path)
        return path

    return write


@pytest.fixture
def two_layers(tiny: Callable[..., Path], tmp_path: Path) -> Path:
    """A file with the metadata of an AMC-Net, of two convolutions: it builds in 0.1 s."""
    graph = """g (float[1, 3, 64, 64] image, float[1, 3, 64, 64] flow_image) => (float[1, 1, 64, 64] mask)
        <float[1, 6, 64, 64] both, float[1, 8, 64, 64] first, float[1, 8, 64, 64] relu, float[1, 1, 64, 64] second> {
        [both] both = Concat <axis = 1> (image, flow_image)
        [first] first = Conv <pads = [1, 1, 1, 1]> (both, w)
        [relu] relu = Relu (first)
        [second] second = Conv (relu, v)
        [end] mask = Sigmoid (second)
    }"""
    prepare = replace(AMCNET, size=(64, 64)).to_json()
    model = onnx.load(tiny(graph, **{onnx_file.PREPROCESSING: prepare, onnx_file.CHECKPOINT_SHA256: "c0ffee"}))
    rng = np.random.default_rng(0)
    for name, shape in {"w": (8, 6, 3, 3), "v": (1, 8, 1, 1)}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(0, 1, shape).astype(np.float32), name))
    path = tmp_path / "onnx" / "amcnet.onnx"
    path.parent.mkdir()
    onnx.save(model, path)
    return path


def _build(model: Path, output: Path, **options: Any) -> EngineFile:
    options = {"flavor": "tensorrt-rtx", "compute_capability": AMPERE_AND_LATER} | options
    return build_engine(BuildOptions(model=model, output=output, **options), lambda note: None)


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".onnx")


@needs_tensorrt_rtx
def test_fp32_matrix_products_are_refused_for_sm75(exported: Callable[[str], Exported], tmp_path: Path) -> None:
    with pytest.raises(
        EngineError, match=r"no FP32 matrix products for SM 7\.5.*estimators\.0\.correlation/AmcCorrelation"
    ):
        _build(exported("pwcnet").file.path, tmp_path / "x.engine", compute_capability=("7.5", "8.6"))
    assert _left(tmp_path) == []


@needs_tensorrt_rtx
def test_the_card_describes_the_engine(
    tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny()
    clock = iter([100.0, 107.25])
    monkeypatch.setattr(build, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    engine = _build(model, tmp_path / "x.engine", workspace_mib=64, optimization_level=1)
    card = engine.card
    assert EngineFile.read(engine.path) == engine
    assert card.engine_sha256 == hashlib.sha256(engine.path.read_bytes()).hexdigest()
    assert card.onnx_sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert card.onnx_metadata == OnnxFile.read(model).metadata
    assert (card.flavor, card.version) == ("tensorrt-rtx", Machine.here().tensorrt["tensorrt-rtx"])
    assert card.compute_capability == AMPERE_AND_LATER
    assert card.inputs == ({"name": "x", "dtype": "float", "shape": [1, 4]},)
    assert card.outputs == ({"name": "y", "dtype": "float", "shape": [1, 4]},)
    assert card.rebuild == "build-engine tiny.onnx --flavor tensorrt-rtx"
    assert card.build_seconds == 7.2


@needs_tensorrt_rtx
def test_weights_beyond_fp16_are_an_error_or_reported(two_layers: Path, tmp_path: Path) -> None:
    model = onnx.load(two_layers)
    weights = onnx.numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights[0, 0, 0] = 1e6, -1e6, 65504
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, "w"))
    onnx.save(model, two_layers)
    with pytest.raises(ModelFileError, match=r"has 2 weights \(w 2\) beyond ±65504.*--fp16 --allow-clipping$"):
        _build(two_layers, tmp_path / "x.engine", fp16=True)
    assert _left(tmp_path) == ["onnx"]
    notes: list[str] = []
    options = BuildOptions(
        model=two_layers, output=tmp_path / "x.engine", fp16=True, allow_clipping=True, flavor="tensorrt-rtx"
    )
    card = build_engine(options, notes.append).card
    assert card.clipped == {"w": 2}
    assert "--fp16 --allow-clipping" in card.rebuild
    assert "clipped to ±65504, the range of FP16: 2 weights (w 2)" in notes
    assert EngineFile.read(tmp_path / "x.engine").card == card


@needs_tensorrt_rtx
def test_a_free_batch_takes_its_range_from_shapes(tiny: Callable[..., Path], tmp_path: Path) -> None:
    model = tiny("g (float[N, 4] x) => (float[N, 4] y) { y = Relu (x) }")
    engine = _build(model, tmp_path / "x.engine", shapes={"x": ((1, 4), (2, 4), (8, 4))})
    assert engine.card.profile == {"x": [[1, 4], [2, 4], [8, 4]]}
    assert engine.card.inputs[0]["shape"] == [-1, 4]
    assert "--shapes x:1x4/2x4/8x4" in engine.card.rebuild


@needs_tensorrt_rtx
def test_the_engine_appears_when_it_is_complete_and_is_built_once(tiny: Callable[..., Path], tmp_path: Path) -> None:
    options = BuildOptions(
        model=tiny(), output=tmp_path / "x.engine", flavor="tensorrt-rtx", compute_capability=("8.6",)
    )
    phases: list[str] = []
    refusals: list[str] = []

    def meanwhile(phase: str) -> None:
        phases.append(phase)
        assert not (tmp_path / "x.engine").exists()
        if not refusals:
            with pytest.raises(EngineError) as error:
                build_engine(options, lambda note: None)
            refusals.append(str(error.value))

    build_engine(options, lambda note: None, meanwhile)
    assert phases[0] == "Building engine 0/6"
    assert any(": " in phase for phase in phases)
    assert "x.engine is being built by another process" in refusals[0]
    assert _left(tmp_path) == ["x.engine", "x.engine.json"]
    (tmp_path / "x.engine.log").write_text("of a build that failed")
    build_engine(options, lambda note: None)  # the lock is gone
    assert _left(tmp_path) == ["x.engine", "x.engine.json"]


@needs_tensorrt_rtx
def test_errors_of_the_parser_are_reported(tiny: Callable[..., Path], tmp_path: Path) -> None:
    model = tiny("g (float[1, 4] x) => (float[1, 4] y) { [bad] y = NoSuchOperator (x) }")
    with pytest.raises(ModelFileError, match=r"tiny\.onnx cannot be parsed.*NoSuchOperator"):
        _build(model, tmp_path / "x.engine")
    assert _left(tmp_path) == []


def test_a_file_that_tensorrt_does_not_support_is_refused_before_the_build(
    tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_process, "_COMMAND", (sys.executable, "-c", "raise SystemExit('the build began')"))
    model = tiny("g (int64[4, 4] x) => (int64[4, 4] y) { [product] y = MatMul (x, x) }")
    with pytest.raises(ModelFileError, match=r"tiny\.onnx is not supported by TensorRT:\n  product: MatMul of int64"):
        _build(model, tmp_path / "x.engine")
    assert _left(tmp_path) == []


def test_without_onnx_the_missing_check_is_noted(
    tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_process, "_COMMAND", (sys.executable, "-c", ""))
    monkeypatch.setattr(build, "is_installed", lambda module: False)
    notes: list[str] = []
    options = BuildOptions(
        model=tiny(), output=tmp_path / "x.engine", flavor="tensorrt-rtx", compute_capability=("8.6",)
    )
    with pytest.raises(EngineError, match="ended with status 0 and no engine"):
        build_engine(options, notes.append)
    assert notes == ["operators are not checked before the build, for lack of ONNX: pip install 'amcnet[export]'"]


@needs_tensorrt_rtx
def test_an_engine_with_too_little_fp16_is_an_error(
    exported: Callable[[str], Exported], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from amcnet.engines.precision import fp16

    def copy(source: Path, target: Path, **options: object) -> fp16.Fp16Report:
        target.write_bytes(source.read_bytes())
        return fp16.Fp16Report(path=target, fp32_nodes={}, clipped={})

    monkeypatch.setattr(fp16, "convert_to_fp16", copy)
    with pytest.raises(EngineError, match=r"--fp16: only 0\.0 % of the operations of pwcnet\.onnx"):
        _build(exported("pwcnet").file.path, tmp_path / "x.engine", fp16=True)
    assert _left(tmp_path) == []


def _input_batches(
    names: tuple[str, str], size: tuple[int, int], count: int = 2
) -> list[dict[str, NDArray[np.float32]]]:
    rng = np.random.default_rng(0)
    return [{name: rng.normal(0, 1, (1, 3, *size)).astype(np.float32) for name in names} for _ in range(count)]


PICTURES = _input_batches(("image", "flow_image"), (64, 64))


def _build_with_inputs(
    model: Path, output: Path, input_batches: Any, open_engine: Any = build.open_engine_file, **options: Any
) -> EngineFile:
    options = {"flavor": "tensorrt-rtx", "compute_capability": ("8.6",), "fp16": True} | options
    build_options = BuildOptions(model=model, output=output, **options)
    return build_engine(build_options, lambda note: None, input_batches=input_batches, open_engine=open_engine)


@needs_tensorrt_rtx
def test_measured_ranges_are_written_to_the_card(exported: Callable[[str], Exported], tmp_path: Path) -> None:
    notes: list[str] = []
    options = BuildOptions(
        model=exported("pwcnet").file.path,
        output=tmp_path / "x.engine",
        fp16=True,
        clips=("a.mp4", "b c"),
        flavor="tensorrt-rtx",
        compute_capability=("8.6",),
    )
    engine = build_engine(options, notes.append, input_batches=_input_batches(("frame", "next_frame"), (64, 128)))
    card = EngineFile.read(engine.path).card
    assert card.ranges is not None
    assert card.accuracy is not None
    assert (card.ranges["frames"], len(card.ranges["largest"])) == (2, 10)
    assert card.accuracy.keys() == {"onnx"}
    assert card.accuracy["onnx"]["of"] == "pwcnet.fp16.onnx in ONNX Runtime on the CPU with emulated FP16"
    assert 0 < card.accuracy["onnx"]["flow"]["median_px"] < 0.05
    assert card.rebuild == "build-engine pwcnet.onnx --fp16 --clips a.mp4 'b c' --flavor tensorrt-rtx"
    (note,) = notes
    assert note.endswith("tensors on 2 frames: none needs FP32 besides the rules")


@needs_tensorrt_rtx
def test_a_tensor_beyond_fp16_stays_fp32_and_is_reported(tiny: Callable[..., Path], tmp_path: Path) -> None:
    graph = """g (float[1, 2, 8, 8] x) => (float[1, 4, 6, 6] mask)
        <float[1, 4, 6, 6] wide, float[1, 4, 6, 6] narrow, float[1, 4, 6, 6] y, float many = {10000.0}> {
        [first] narrow = Conv (x, w)
        [wide] wide = Mul (narrow, many)
        [back] y = Div (wide, many)
        [end] mask = Sigmoid (y)
    }"""
    model = onnx.load(tiny(graph))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((4, 2, 3, 3), np.float32), "w"))
    onnx.save(model, tmp_path / "wide.onnx")
    notes: list[str] = []
    options = BuildOptions(model=tmp_path / "wide.onnx", fp16=True, flavor="tensorrt-rtx", compute_capability=("8.6",))
    engine = build_engine(options, notes.append, input_batches=[{"x": np.ones((1, 2, 8, 8), np.float32)}])
    assert notes == [
        "ranges of 5 tensors on 1 frames: in FP32 besides the rules: |wide| reaches 1.8e+05, more than a "
        "quarter of 65504"
    ]
    assert engine.card.ranges is not None
    assert engine.card.ranges["fp32_regions"][0]["nodes"] == ["wide", "back"]
    assert engine.card.ranges["largest"]["wide"] == 180000


@needs_tensorrt_rtx
def test_an_engine_that_differs_from_its_file_is_deleted(
    two_layers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[EngineFile] = []
    run = onnx_run(two_layers)
    layers = [{"LayerType": "gemm", "Outputs": [{"Format/Datatype": "Half"}]}]

    @contextmanager
    def right(engine: EngineFile) -> Iterator[OpenEngine]:
        shown.append(engine)
        assert engine.path.stat().st_size == engine.card.engine_bytes
        yield OpenEngine(run=run, layers=layers)

    @contextmanager
    def wrong(engine: EngineFile) -> Iterator[OpenEngine]:
        yield OpenEngine(run=lambda inputs: {"mask": 1 - run(inputs)["mask"]}, layers=layers)

    output = tmp_path / "out" / "x.engine"
    machine = Machine(gpu="L4", compute_capability="8.9", cuda_python=True, tensorrt=Machine.here().tensorrt)
    monkeypatch.setattr(Machine, "here", lambda: machine)
    engine = _build_with_inputs(two_layers, output, PICTURES, right)  # for SM 8.6 only
    assert engine.card.accuracy is not None
    assert (list(engine.card.accuracy), shown) == (["onnx"], [])
    targets = {"compute_capability": ("8.6", "8.9")}
    engine = _build_with_inputs(two_layers, output, PICTURES, right, **targets)
    assert engine.card.accuracy is not None
    assert engine.card.accuracy["engine"]["mask"]["mean_iou"] == 1
    assert engine.card.accuracy["engine"]["of"] == "engine of amcnet.fp16.onnx on L4 (SM 8.9)"
    assert engine.card.accuracy["onnx"]["mask"]["mean_iou"] < 1
    assert engine.card.accuracy["engine"]["kernels"] == {"half": 1}
    assert len(shown) == 1
    with pytest.raises(EngineError, match=r"got a mean mask IoU of 0\.00.. over 2 frames"):
        _build_with_inputs(two_layers, output.with_name("y.engine"), PICTURES, wrong, **targets)
    assert _left(output.parent) == ["x.engine", "x.engine.json"]


@needs_tensorrt_rtx
def test_int8_is_calibrated_counted_and_compared(two_layers: Path, tmp_path: Path) -> None:
    int8, pictures = {"fp16": False, "int8": True}, _input_batches(("image", "flow_image"), (64, 64), 5)
    engine = _build_with_inputs(two_layers, tmp_path / "x.engine", pictures, **int8, keep_onnx=True, min_iou=0.9)
    assert engine.card.precision == "int8"
    assert engine.card.precision_report.layers == {"int8": 1, "float": 1}
    assert engine.card.precision_report.share("int8") == 6 * 9 / (6 * 9 + 1)
    assert engine.card.accuracy is not None
    assert engine.card.accuracy["onnx"]["of"] == "amcnet.int8.onnx in ONNX Runtime on the CPU"
    assert engine.card.ranges == {"frames": 4, "frames_sha256": ANY, "method": "minmax"}
    assert engine.card.accuracy["onnx"]["mask"]["frames"] == 1  # of five, and not one that it was calibrated with
    quantized = tmp_path / "amcnet.int8.onnx"
    notes: list[str] = []
    options = BuildOptions(model=quantized, int8=True, flavor="tensorrt-rtx", compute_capability=("8.6",))
    assert build_engine(options, notes.append, input_batches=pictures).card.accuracy is None
    assert notes == ["no comparison: amcnet.int8.onnx is int8; name its FP32 file with --reference"]
    again = build_engine(replace(options, reference=two_layers, min_iou=0.9), notes.append, input_batches=pictures)
    assert again.card.accuracy is not None
    assert again.card.accuracy["onnx"]["mask"]["frames"] == 5
    with pytest.raises(
        EngineError, match=r"amcnet\.int8\.onnx .* differs from amcnet\.onnx: got .*, expected .*amc-calibrate --search"
    ):
        build_engine(replace(options, reference=two_layers, min_iou=0.9999), notes.append, input_batches=pictures)


def test_a_calibration_with_black_frames_is_refused(two_layers: Path, tmp_path: Path) -> None:
    seen, *rest = _input_batches(("image", "flow_image"), (64, 64), 5)
    black = [{name: np.zeros_like(value) for name, value in inputs.items()} for inputs in rest]
    with pytest.raises(EngineError, match=r"amcnet\.int8\.onnx in ONNX Runtime on the CPU differs from amcnet\.onnx"):
        _build_with_inputs(two_layers, tmp_path / "x.engine", [seen, *black], fp16=False, int8=True, min_iou=0.9)


def test_int8_needs_a_calibrated_file_or_frames(tiny: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(
        EngineError, match=r"--int8: got .* in fp32, expected .*build-engine tiny\.onnx --int8 --clips DIR"
    ):
        _build_with_inputs(tiny(), tmp_path / "x.engine", (), fp16=False, int8=True)
    with pytest.raises(EngineError, match="exclude each other"):
        _build_with_inputs(tiny(), tmp_path / "x.engine", (), int8=True)
    for_cpus = tiny(**{onnx_file.PRECISION: "int8", onnx_file.INT8_TARGET: "cpu"})
    with pytest.raises(EngineError, match=r"an INT8 file for CPUs.*amc-calibrate MODEL\.onnx --target tensorrt"):
        _build_with_inputs(for_cpus, tmp_path / "x.engine", (), fp16=False)


@needs_tensorrt_rtx
def test_keep_onnx_leaves_the_converted_file(exported: Callable[[str], Exported], tmp_path: Path) -> None:
    _build(exported("pwcnet").file.path, tmp_path / "x.engine", fp16=True, keep_onnx=True)
    kept = OnnxFile.read(tmp_path / "pwcnet.fp16.onnx")
    assert kept.metadata[onnx_file.PRECISION] == "fp16"
    again = _build(kept.path, tmp_path / "y.engine", fp16=True)
    assert again.card.precision_report.share("half") > 0.98


@pytest.mark.parametrize(
    ("library", "message"),
    [
        ("import os, sys; print('assertion failed', file=sys.stderr, flush=True); os.abort()", "was ended by SIGABRT"),
        ("import ctypes; print('assertion failed', flush=True); ctypes.string_at(0)", "was ended by SIGSEGV"),
        ("import os, signal; os.write(1, b'assertion failed'); os.kill(os.getpid(), signal.SIGKILL)", "out of memory?"),
        ("raise ValueError('assertion failed')", "ended with status 1 and no engine"),
    ],
    ids=["abort", "segfault", "kill", "exception"],
)
def test_a_crash_in_the_library_is_an_error_with_its_log(
    library: str, message: str, tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "fake"
    folder.mkdir()
    (folder / "tensorrt_rtx.py").write_text(library + "\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    model = tiny()
    output = tmp_path / "out"
    output.mkdir()
    (output / "x.engine").write_bytes(b"an older engine")
    with pytest.raises(EngineError) as error:
        _build(model, output / "x.engine")
    assert message in str(error.value)
    assert "assertion failed" in str(error.value)
    assert str(output / "x.engine.log") in str(error.value)
    assert "assertion failed" in (output / "x.engine.log").read_text()
    assert _left(output) == ["x.engine", "x.engine.log"]
    assert (output / "x.engine").read_bytes() == b"an older engine"


def test_a_missing_library_is_an_error_that_names_the_extra(
    tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from amcnet.runtime.errors import BackendError

    (tmp_path / "tensorrt_rtx.py").write_text("raise ImportError('libtensorrt_rtx.so.1: no such file')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(BackendError, match=r"libtensorrt_rtx\.so\.1: no such file.*pip install 'amcnet\[rtx\]'"):
        _build(tiny(), tmp_path / "x.engine")


def test_an_interrupted_build_ends_its_process(
    tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children: list[subprocess.Popen[str]] = []

    class Recorded(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            children.append(self)

    endless = 'import time; print(\'{"phase": "Building engine 0/6"}\', flush=True); time.sleep(600)'
    monkeypatch.setattr(build_process, "_COMMAND", (sys.executable, "-c", endless))
    monkeypatch.setattr(build_process.subprocess, "Popen", Recorded)

    def interrupt(phase: str) -> None:
        raise KeyboardInterrupt

    options = BuildOptions(model=tiny(), output=tmp_path / "x.engine", flavor="tensorrt-rtx")
    with pytest.raises(KeyboardInterrupt):
        build_engine(options, lambda note: None, interrupt)
    assert [child.poll() for child in children] == [-9]
    assert _left(tmp_path) == []


def test_unwritable_outputs_are_refused(tiny: Callable[..., Path], tmp_path: Path) -> None:
    model = tiny()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a file where a folder is needed"):
        _build(model, tmp_path / "file" / "x.engine")
    (tmp_path / "folder.engine").mkdir()
    with pytest.raises(OutputError, match="a folder of that name is in the way"):
        _build(model, tmp_path / "folder.engine")
    with pytest.raises(EngineError, match="the name of an ONNX file, expected a name such as"):
        _build(model, model)


def test_a_missing_or_foreign_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        _build(tmp_path / "none.onnx", tmp_path / "x.engine")
    (tmp_path / "foreign.onnx").write_bytes(b"\x08\x08")
    with pytest.raises(ModelFileError, match="has no 'amcnet"):
        _build(tmp_path / "foreign.onnx", tmp_path / "x.engine")


@pytest.mark.parametrize(
    ("installed", "compute_capability", "flavor"),
    [
        (("tensorrt", "tensorrt-rtx"), "8.6", "tensorrt"),
        (("tensorrt", "tensorrt-rtx"), None, "tensorrt-rtx"),
        (("tensorrt-rtx",), "8.6", "tensorrt-rtx"),
        (("tensorrt-8", "tensorrt-rtx"), "6.1", "tensorrt-8"),
        (("tensorrt-8",), None, "tensorrt-rtx"),
        ((), None, "tensorrt-rtx"),
    ],
)
def test_the_default_flavor_depends_on_the_machine(
    installed: tuple[str, ...], compute_capability: str | None, flavor: str
) -> None:
    machine = Machine(tensorrt=dict.fromkeys(installed, "1.0"), compute_capability=compute_capability)
    assert default_flavor(machine) == flavor


@pytest.mark.parametrize(
    ("machine", "found", "fix"),
    [
        (
            Machine(tensorrt={"tensorrt": "10.16.1.11"}),
            "no GPU or no driver",
            "build for other GPUs with --flavor tensorrt-rtx",
        ),
        (
            Machine(tensorrt={"tensorrt": "10.16.1.11"}, gpu="GeForce GTX 1080 Ti", compute_capability="6.1"),
            r"GeForce GTX 1080 Ti \(SM 6\.1\)",
            r"build with TensorRT 8, which supports it: pip .*\[tensorrt8\].*; then --flavor tensorrt-8; amc-check",
        ),
    ],
)
def test_tensorrt_without_a_supported_gpu_is_refused(
    machine: Machine,
    found: str,
    fix: str,
    tiny: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Machine, "here", lambda: machine)
    with pytest.raises(
        EngineError,
        match=rf"got {found}, expected a GPU of SM 7\.5 or later\. Fix: {fix}",
    ):
        _build(tiny(), tmp_path / "x.engine", flavor="tensorrt", compute_capability=())


@pytest.mark.parametrize(
    ("compute_capability", "targets"),
    [(None, "8.0, 8.6, 8.9, 12.0"), ("8.9", "8.0, 8.6, 8.9, 12.0"), ("12.1", "12.1"), ("9.0", "8.0, 8.6, 8.9, 12.0")],
)
def test_automatic_choices_are_printed(
    compute_capability: str | None,
    targets: str,
    tiny: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(tensorrt={"tensorrt-rtx": "1.7"}, compute_capability=compute_capability)
    monkeypatch.setattr(Machine, "here", lambda: machine)
    monkeypatch.setattr(build_process, "_COMMAND", (sys.executable, "-c", ""))
    notes: list[str] = []
    with pytest.raises(EngineError, match="ended with status 0 and no engine"):
        build_engine(BuildOptions(model=tiny(), output=tmp_path / "x.engine"), notes.append)
    reason = "TensorRT is not installed" if compute_capability else "it builds without a GPU"
    assert notes == [
        f"building with TensorRT-RTX: {reason} (change it with --flavor)",
        f"building for SM {targets} (change it with --compute-capability)",
    ]


def _command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from amcnet.engines.cli import main; sys.exit(main())"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)


@needs_tensorrt_rtx
def test_the_command_builds_an_engine(tiny: Callable[..., Path], tmp_path: Path) -> None:
    model = tiny("g (float[N, 4] x) => (float[N, 4] y) { y = Relu (x) }")
    result = _command(
        model, "--flavor", "tensorrt-rtx", "--shapes", "x:1x4/1x4/2x4", "--compute-capability", "86", "8.9"
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert result.stdout.splitlines()[1].startswith(f"{tmp_path / 'tiny.engine'}: 0 MB")
    card = json.loads(card_path(tmp_path / "tiny.engine").read_text())
    assert card["compute_capability"] == ["8.6", "8.9"]


@needs_tensorrt_rtx
def test_the_command_measures_on_clips(two_layers: Path, tmp_path: Path) -> None:
    for clip, frames in (("a", 40), ("b", 5)):
        (tmp_path / clip).mkdir()
        for index in range(frames):
            image = np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8)
            cv2.imwrite(str(tmp_path / clip / f"{index:05d}.png"), image)
    arguments = ("--flavor", "tensorrt-rtx", "--compute-capability", "8.6", "-o", tmp_path / "x.engine")
    clips = ("--probe-clip", tmp_path / "a", tmp_path / "b")
    result = _command(two_layers, "--fp16", *arguments, *clips)
    assert result.returncode == 0, result.stderr
    accuracy = json.loads(card_path(tmp_path / "x.engine").read_text())["accuracy"]["onnx"]
    assert accuracy["mask"]["frames"] == 40  # of 43 that have a next one
    assert result.stdout.splitlines()[1] == (
        f"mean IoU {accuracy['mask']['mean_iou']:.4f} over 40 frames (minimum 0.995): "
        "amcnet.fp16.onnx in ONNX Runtime on the CPU with emulated FP16, compared with amcnet.onnx"
    )
    assert "note: ranges of" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--min-iou", "98"), "got '98', expected a number from 0 to 1"),
        (("--shapes", "x:1x4/1x4"), "--shapes: got 'x:1x4/1x4', expected NAME:MIN/OPT/MAX in ascending order"),
        (("--shapes", "x:2x4/1x4/2x4"), "--shapes: got 'x:2x4/1x4/2x4', expected NAME:MIN/OPT/MAX"),
        (("--compute-capability", "turing"), "--compute-capability: got 'turing', expected a number such as 8.6"),
        (("--workspace-mib", "0"), "got '0', expected an integer of 1 or more"),
        (
            ("--flavor", "tensorrt", "--compute-capability", "8.6"),
            "TensorRT does not support --compute-capability: it builds for the GPU of this machine",
        ),
    ],
)
def test_invalid_options_are_refused(arguments: tuple[str, ...], message: str, tiny: Callable[..., Path]) -> None:
    result = _command(tiny(), *arguments)
    assert result.returncode == 2
    assert message in result.stderr
