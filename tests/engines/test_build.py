"""Building engines with TensorRT-RTX, which needs no GPU for it: each build runs in a process of its own."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from amcnet import EngineError, ModelFileError, OutputError
from amcnet.engines import build_process
from amcnet.engines.build import BuildOptions, build_engine, default_flavour
from amcnet.engines.card import EngineFile, card_path
from amcnet.engines.machine import Machine
from amcnet.export import OnnxFile, Seed, export_amcnet, export_pipeline, export_pwcnet, onnx_file
from amcnet.models import AMCNetConfig

needs_tensorrt_rtx = pytest.mark.skipif(
    Machine.here().tensorrt.get("tensorrt-rtx") is None,
    reason="TensorRT-RTX is not installed: pip install 'amcnet[rtx]'",
)
AMPERE_AND_LATER = ("8.6", "8.9", "12.0")
FUNCTIONS = {
    "amcnet": {"AmcCoAttention": 1, "AmcCoAttentionGate": 5},
    "pwcnet": {"AmcCorrelation": 5, "AmcWarp": 4},
}
FUNCTIONS["pipeline"] = FUNCTIONS["amcnet"] | FUNCTIONS["pwcnet"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`exported("amcnet")`: that network with untrained weights, small."""
    folder = tmp_path_factory.mktemp("onnx")
    config = AMCNetConfig(backbone="resnet18")
    seed = Seed(number=1)
    make = {
        "amcnet": lambda: export_amcnet(seed, folder, config=config, size=(64, 64)),
        "pwcnet": lambda: export_pwcnet(seed, folder, size=(128, 64)),
        "pipeline": lambda: export_pipeline(seed, seed, folder, video_size=(96, 64), config=config),
    }

    def export(network: str) -> Path:
        path = folder / f"{network}.onnx"
        if not path.exists():
            make[network]()
        return path

    return export


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Path]:
    """`tiny(graph, **metadata)`: a file that says it is ours, of a graph in ONNX's text form."""

    def write(graph: str = "g (float[1, 4] x) => (float[1, 4] y) { y = Relu (x) }", **metadata: str) -> Path:
        model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {graph}')
        values = dict.fromkeys(onnx_file.REQUIRED, "{}") | {onnx_file.NETWORK: "amcnet", onnx_file.PRECISION: "fp32"}
        onnx.helper.set_model_props(model, values | metadata)
        path = tmp_path / "tiny.onnx"
        onnx.save(model, path)
        return path

    return write


def _build(model: Path, output: Path, **options: Any) -> EngineFile:
    options = {"flavour": "tensorrt-rtx", "compute_capability": AMPERE_AND_LATER} | options
    return build_engine(BuildOptions(model=model, output=output, **options), lambda note: None)


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".onnx")


@needs_tensorrt_rtx
@pytest.mark.parametrize(
    "network",
    [
        "amcnet",
        "pwcnet",
        pytest.param("pipeline", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("fp16", [False, True], ids=["fp32", "fp16"])
def test_networks_build_for_ampere_and_later(
    network: str, fp16: bool, exported: Callable[[str], Path], tmp_path: Path
) -> None:
    model = exported(network)
    engine = _build(model, tmp_path / "x.engine", fp16=fp16)
    receipt = engine.card.receipt
    assert receipt.functions == FUNCTIONS[network]
    assert receipt.kinds.get("grid_sample", 0) == FUNCTIONS[network].get("AmcWarp", 0)
    assert not [kind for kind in receipt.kinds if "plugin" in kind]
    assert set(receipt.layers) <= {"half", "float"}
    assert (receipt.share("half") > 0.98) if fp16 else (receipt.share("float") == 1)
    assert engine.card.precision == ("fp16" if fp16 else "fp32")
    assert engine.path.stat().st_size > sum(receipt.kinds.values())
    assert _left(tmp_path) == ["x.engine", "x.engine.json"]


@needs_tensorrt_rtx
@pytest.mark.parametrize("network", ["amcnet", "pwcnet"])
def test_networks_in_half_build_for_turing(network: str, exported: Callable[[str], Path], tmp_path: Path) -> None:
    notes: list[str] = []
    options = BuildOptions(
        model=exported(network),
        output=tmp_path / "x.engine",
        fp16=True,
        flavour="tensorrt-rtx",
        compute_capability=("7.5",),
    )
    engine = build_engine(options, notes.append)
    assert engine.card.compute_capability == ("7.5",)
    assert engine.card.receipt.functions == FUNCTIONS[network]
    assert not [place for place in engine.card.receipt.float_layers if place.endswith(("Attention", "Correlation"))]
    assert notes == [
        "TensorRT-RTX multiplies no matrices in float on SM 7.5: attention and correlation are in half too"
    ]


@needs_tensorrt_rtx
def test_matrix_products_in_float_are_refused_for_turing(exported: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(
        EngineError, match=r"no matrices in float on SM 7\.5.*estimators\.0\.correlation/AmcCorrelation"
    ):
        _build(exported("pwcnet"), tmp_path / "x.engine", compute_capability=("7.5", "8.6"))
    assert _left(tmp_path) == []


@needs_tensorrt_rtx
def test_the_card_says_what_the_engine_is(tiny: Callable[..., Path], tmp_path: Path) -> None:
    model = tiny()
    engine = _build(model, tmp_path / "x.engine", workspace_mib=64, optimization_level=1)
    card = engine.card
    assert EngineFile.read(engine.path) == engine
    assert card.engine_sha256 == hashlib.sha256(engine.path.read_bytes()).hexdigest()
    assert card.onnx_sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert card.onnx_metadata == OnnxFile.read(model).metadata
    assert (card.flavour, card.version) == ("tensorrt-rtx", Machine.here().tensorrt["tensorrt-rtx"])
    assert card.compute_capability == AMPERE_AND_LATER
    assert card.inputs == ({"name": "x", "dtype": "float", "shape": [1, 4]},)
    assert card.outputs == ({"name": "y", "dtype": "float", "shape": [1, 4]},)
    assert card.rebuild == "build-engine tiny.onnx --flavour tensorrt-rtx"
    assert 0 < card.build_seconds < 60


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
        model=tiny(), output=tmp_path / "x.engine", flavour="tensorrt-rtx", compute_capability=("8.6",)
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
    build_engine(options, lambda note: None)  # the lock is gone


@needs_tensorrt_rtx
def test_what_the_parser_says_of_a_broken_file_is_passed_on(tiny: Callable[..., Path], tmp_path: Path) -> None:
    model = tiny("g (float[1, 4] x) => (float[1, 4] y) { [bad] y = NoSuchOperator (x) }")
    with pytest.raises(ModelFileError, match=r"tiny\.onnx cannot be parsed.*NoSuchOperator"):
        _build(model, tmp_path / "x.engine")
    assert _left(tmp_path) == []


@needs_tensorrt_rtx
def test_fp16_that_is_not_is_an_error(
    exported: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from amcnet.engines import half

    def only_says_so(source: Path, target: Path, **options: object) -> None:
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(half, "to_half", only_says_so)
    with pytest.raises(EngineError, match=r"--fp16 was asked for, but only 0\.0 % of the operations of pwcnet\.onnx"):
        _build(exported("pwcnet"), tmp_path / "x.engine", fp16=True)
    assert _left(tmp_path) == []


@needs_tensorrt_rtx
def test_keep_onnx_leaves_the_converted_file(exported: Callable[[str], Path], tmp_path: Path) -> None:
    _build(exported("pwcnet"), tmp_path / "x.engine", fp16=True, keep_onnx=True)
    kept = OnnxFile.read(tmp_path / "pwcnet.fp16.onnx")
    assert kept.metadata[onnx_file.PRECISION] == "fp16"
    again = _build(kept.path, tmp_path / "y.engine", fp16=True)
    assert again.card.receipt.share("half") > 0.98


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


def test_a_missing_library_is_an_error_that_says_how_to_install_it(
    tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from amcnet import BackendError

    (tmp_path / "tensorrt_rtx.py").write_text("raise ImportError('libtensorrt_rtx.so.1: no such file')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(BackendError, match=r"libtensorrt_rtx\.so\.1: no such file.*pip install 'amcnet\[rtx\]'"):
        _build(tiny(), tmp_path / "x.engine")


def test_an_interrupted_build_takes_its_process_with_it(
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

    options = BuildOptions(model=tiny(), output=tmp_path / "x.engine", flavour="tensorrt-rtx")
    with pytest.raises(KeyboardInterrupt):
        build_engine(options, lambda note: None, interrupt)
    assert [child.poll() for child in children] == [-9]
    assert _left(tmp_path) == []


def test_places_where_no_engine_can_be_written(tiny: Callable[..., Path], tmp_path: Path) -> None:
    model = tiny()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a file where a folder is needed"):
        _build(model, tmp_path / "file" / "x.engine")
    (tmp_path / "folder.engine").mkdir()
    with pytest.raises(OutputError, match="a folder of that name is in the way"):
        _build(model, tmp_path / "folder.engine")
    with pytest.raises(EngineError, match="would be taken for an ONNX file"):
        _build(model, model)


def test_a_file_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        _build(tmp_path / "none.onnx", tmp_path / "x.engine")
    (tmp_path / "foreign.onnx").write_bytes(b"\x08\x08")
    with pytest.raises(ModelFileError, match="has no 'amcnet"):
        _build(tmp_path / "foreign.onnx", tmp_path / "x.engine")


@pytest.mark.parametrize(
    ("installed", "compute_capability", "flavour"),
    [
        (("tensorrt", "tensorrt-rtx"), "8.6", "tensorrt"),
        (("tensorrt", "tensorrt-rtx"), None, "tensorrt-rtx"),
        (("tensorrt-rtx",), "8.6", "tensorrt-rtx"),
        ((), None, "tensorrt-rtx"),
    ],
)
def test_the_default_flavour(installed: tuple[str, ...], compute_capability: str | None, flavour: str) -> None:
    machine = Machine(tensorrt=dict.fromkeys(installed, "1.0"), compute_capability=compute_capability)
    assert default_flavour(machine) == flavour


@pytest.mark.parametrize(
    ("machine", "found"),
    [
        (Machine(tensorrt={"tensorrt": "10.16.1.11"}), "no GPU or no driver was found"),
        (
            Machine(tensorrt={"tensorrt": "10.16.1.11"}, gpu="GeForce GTX 1080 Ti", compute_capability="6.1"),
            r"GeForce GTX 1080 Ti \(SM 6\.1\)",
        ),
    ],
)
def test_tensorrt_is_not_asked_to_build_without_a_gpu_that_it_knows(
    machine: Machine, found: str, tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Machine, "here", lambda: machine)
    with pytest.raises(
        EngineError, match=rf"SM 7\.5 or later; {found}; build for other GPUs with --flavour tensorrt-rtx"
    ):
        _build(tiny(), tmp_path / "x.engine", flavour="tensorrt", compute_capability=())


@pytest.mark.parametrize(
    ("compute_capability", "targets"),
    [(None, "8.0, 8.6, 8.9, 12.0"), ("8.9", "8.0, 8.6, 8.9, 12.0"), ("12.1", "12.1"), ("9.0", "8.0, 8.6, 8.9, 12.0")],
)
def test_the_choices_that_are_made_are_said(
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
        f"building with TensorRT-RTX: {reason} (--flavour chooses)",
        f"for SM {targets} (--compute-capability chooses)",
    ]


def _command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from amcnet.engines.cli import main; sys.exit(main())"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)


@needs_tensorrt_rtx
def test_the_command(tiny: Callable[..., Path], tmp_path: Path) -> None:
    model = tiny("g (float[N, 4] x) => (float[N, 4] y) { y = Relu (x) }")
    result = _command(
        model, "--flavour", "tensorrt-rtx", "--shapes", "x:1x4/1x4/2x4", "--compute-capability", "86", "8.9"
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert result.stdout.splitlines()[1].startswith(f"{tmp_path / 'tiny.engine'}: 0 MB")
    card = json.loads(card_path(tmp_path / "tiny.engine").read_text())
    assert card["compute_capability"] == ["8.6", "8.9"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shapes", "x:1x4/1x4"), "'x:1x4/1x4' is no range of shapes; expected NAME:least/usual/greatest"),
        (("--shapes", "x:2x4/1x4/2x4"), "is no range of shapes"),
        (("--compute-capability", "turing"), "'turing' is no compute capability; expected such as 8.6"),
        (("--workspace-mib", "0"), "'0' is no whole number above 0"),
        (("--flavour", "tensorrt", "--compute-capability", "8.6"), "TensorRT builds for the GPU that is there"),
    ],
)
def test_options_that_make_no_sense(arguments: tuple[str, ...], message: str, tiny: Callable[..., Path]) -> None:
    result = _command(tiny(), *arguments)
    assert result.returncode == 2
    assert message in result.stderr
