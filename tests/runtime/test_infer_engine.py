"""`amc-infer --engine` and `Segmenter.load(engine=…)` on a fake GPU, compared with ONNX Runtime."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from amcnet import Segmenter
from amcnet.runtime.errors import BackendError, EngineError, InputError
from amcnet.runtime.infer import InferOptions, infer
from amcnet.runtime.trt.card import EngineFile
from amcnet.runtime.trt.machine import Machine

OnFakeGpu = Callable[..., subprocess.CompletedProcess[str]]
MakeClip = Callable[..., Path]
MakeEngine = Callable[..., Path]
AMC_INFER = "import sys; from amcnet.runtime.cli import main; sys.exit(main())"


@pytest.fixture
def clip(tmp_path: Path, make_clip: MakeClip) -> Path:
    return make_clip(tmp_path / "clip.mp4", frames=5, size=(64, 48))


def _masks(folder: Path) -> list[np.ndarray]:
    return [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted((folder / "masks").iterdir())]


@pytest.mark.parametrize(("model", "size"), [("pwcnet", (128, 64)), ("raft", (101, 75))])
def test_engines_compute_the_masks_of_their_onnx_files(
    model: str,
    size: tuple[int, int],
    on_fake_gpu: OnFakeGpu,
    make_engine: MakeEngine,
    tmp_path: Path,
    clip: Path,
    amcnet_onnx: Path,
    request: pytest.FixtureRequest,
) -> None:
    engine = make_engine(tmp_path / "x.engine", "amcnet")
    flow = make_engine(tmp_path / "f.engine", model, size=size)
    flow_onnx: Path = request.getfixturevalue(f"{model}_onnx")
    log = tmp_path / "log"
    out = tmp_path / "gpu"
    done = on_fake_gpu(AMC_INFER, clip, "-o", out, "--engine", engine, "--flow", flow, FAKE_CUDA_LOG=log)
    assert (done.returncode, done.stderr) == (0, "")
    infer(InferOptions(source=clip, output=tmp_path / "cpu", amcnet=amcnet_onnx, flow=flow_onnx))
    ours, expected = _masks(out), _masks(tmp_path / "cpu")
    assert len(ours) == 5
    for mask, wanted in zip(ours, expected, strict=True):
        assert 0.05 < (wanted > 0).mean() < 0.95
        assert (mask != wanted).mean() < 1e-3
    report = json.loads((out / "run.json").read_text())
    assert report["backend"] == "TensorRT 10.16.1.11 on NVIDIA Made-up GPU, fp16, a CUDA graph"
    files = report["settings"]["files"]
    assert files["amcnet"] | {"name": "x.engine", "precision": "fp16", "onnx_sha256": "0" * 64} == files["amcnet"]
    assert len(files["amcnet"]["card_sha256"]) == 64
    assert files[model]["name"] == "f.engine"
    lines = log.read_text().splitlines()
    assert sum("released" in line for line in lines) == 1
    assert lines[-1].startswith("0 released:memories=0,streams=0,events=0,graphs=0")


_COUNTED = """
import collections, hashlib, json, sys
from pathlib import Path

counts = collections.Counter()

def count(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".engine"):
        counts[f"reads of {Path(arguments[0]).name}"] += 1

def counted(data=b"", **options):
    counts["hashes of a plan"] += data[:1] == b"{"
    return sha256(data, **options)

sys.addaudithook(count)
sha256, hashlib.sha256 = hashlib.sha256, counted
from amcnet.runtime.cli import main
status = main()
print(json.dumps(counts))
sys.exit(status)
"""


def test_each_plan_is_read_and_hashed_once_and_nvidia_smi_started_once(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path, clip: Path
) -> None:
    log = tmp_path / "nvidia-smi.log"
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\necho "$@" >> {log}\necho "NVIDIA Made-up GPU, 8.6, 580.65.06"\n')
    program.chmod(0o755)
    engine, flow = (
        make_engine(tmp_path / "x.engine", "amcnet"),
        make_engine(tmp_path / "f.engine", "pwcnet", size=(128, 64)),
    )
    arguments = (clip, "-o", tmp_path / "out", "--engine", engine, "--flow", flow)
    done = on_fake_gpu(_COUNTED, *arguments, PATH=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts == {"reads of x.engine": 1, "reads of f.engine": 1, "hashes of a plan": 2}
    assert len(log.read_text().splitlines()) == 1
    assert len(_masks(tmp_path / "out")) == 5


def test_a_plan_that_changes_after_it_was_checked_is_not_loaded(make_engine: MakeEngine, tmp_path: Path) -> None:
    path = make_engine(tmp_path / "x.engine", "amcnet")
    checked = path.read_bytes()
    file = EngineFile.read(path)
    path.write_bytes(b"another plan")
    assert file.take_plan() == checked


def test_a_pipeline_engine_gives_all_masks_and_can_be_resumed(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path, clip: Path
) -> None:
    engine = make_engine(tmp_path / "x.engine", "pipeline")
    out = tmp_path / "out"
    command = (clip, "-o", out, "--engine", engine, "--threshold", "0.2")
    done = on_fake_gpu(AMC_INFER, *command)
    note = "no temporal filter: x.engine computes its flow itself"
    assert (done.returncode, done.stderr) == (0, f"note: {note}\n")
    report = json.loads((out / "run.json").read_text())
    assert report["notes"] == [note]
    assert list(report["latency_ms"]) == ["decode", "upload", "network", "write masks", "write overlay"]
    assert (report["settings"]["flow"], report["settings"]["temporal"]) == ("inside", False)
    whole = _masks(out)
    assert len(whole) == 5
    (out / "masks" / "00004.png").unlink()
    (out / "run.json").write_text(json.dumps(report | {"complete": False}))
    resumed = on_fake_gpu(AMC_INFER, *command, "--resume", "--no-temporal")
    assert (resumed.returncode, resumed.stderr) == (0, "")
    for again, before in zip(_masks(out), whole, strict=True):
        np.testing.assert_array_equal(again, before)


def test_resuming_with_another_engine_is_refused(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path, clip: Path
) -> None:
    engine = make_engine(tmp_path / "x.engine", "pipeline")
    command = (clip, "-o", tmp_path / "out", "--engine", engine)
    assert on_fake_gpu(AMC_INFER, *command).returncode == 0
    make_engine(engine, "pipeline", card={"build_seconds": 1.5})
    resumed = on_fake_gpu(AMC_INFER, *command, "--resume")
    assert resumed.returncode == 2
    assert "was begun with files.pipeline.card_sha256" in resumed.stderr


def test_a_changed_engine_is_run_only_if_trusted(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path, clip: Path
) -> None:
    engine = make_engine(tmp_path / "x.engine", "pipeline")
    engine.write_bytes(engine.read_bytes() + b" ")
    command = (clip, "-o", tmp_path / "out", "--engine", engine)
    refused = on_fake_gpu(AMC_INFER, *command)
    assert refused.returncode == 2
    assert "its SHA-256 differs. A plan is code" in refused.stderr
    assert not (tmp_path / "out").exists()
    assert on_fake_gpu(AMC_INFER, *command, "--trust").returncode == 0


def test_frames_of_another_size_are_named(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path, clip: Path
) -> None:
    engine = make_engine(tmp_path / "x.engine", "pipeline", size=(32, 32))
    done = on_fake_gpu(AMC_INFER, clip, "-o", tmp_path / "out", "--engine", engine)
    assert done.returncode == 2
    assert done.stderr.startswith("error: frame 0 is 64x48")
    assert done.stderr.endswith("export-onnx pipeline --video-size 64x48\n")


def test_incompatible_options_are_refused(make_engine: MakeEngine, tmp_path: Path, amcnet_onnx: Path) -> None:
    pipeline = make_engine(tmp_path / "pipeline.engine", "pipeline")
    pwcnet = make_engine(tmp_path / "pwcnet.engine", "pwcnet")
    with pytest.raises(InputError, match=r"both .*amcnet\.onnx and .*pipeline\.engine were given"):
        Segmenter.load(amcnet_onnx, engine=pipeline)
    with pytest.raises(InputError, match=r"flow '.*pwcnet\.engine' was given, but .*pipeline\.engine computes its own"):
        Segmenter.load(engine=pipeline, flow=pwcnet)
    with pytest.raises(EngineError, match=r"pwcnet\.engine holds the model 'pwcnet'; expected 'amcnet' or 'pipel"):
        Segmenter.load(engine=pwcnet)
    with pytest.raises(EngineError, match=r"pipeline\.engine holds the model 'pipeline'; expected 'pwcnet'"):
        Segmenter.load(amcnet_onnx, flow=pipeline)


def test_an_engine_without_a_gpu_is_an_error(
    make_engine: MakeEngine, tmp_path: Path, clip: Path, amcnet_onnx: Path
) -> None:
    if Machine.here().has_gpu:
        pytest.skip("this machine has a GPU")
    with pytest.raises(EngineError, match="no GPU or no driver was found"):
        Segmenter.load(engine=make_engine(tmp_path / "x.engine", "amcnet"))
    with pytest.raises(BackendError, match=r"expected onnxruntime-gpu|fell back to the CPU"):
        Segmenter.load(amcnet_onnx, device="cuda")
    with pytest.raises(InputError, match="device is 'tpu'; expected cpu or cuda"):
        Segmenter.load(amcnet_onnx, device="tpu")
