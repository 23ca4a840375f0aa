"""Engines as a backend on a fake GPU: outputs, concurrent threads, CUDA graphs, errors and release of memory."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

OnFakeGpu = Callable[..., subprocess.CompletedProcess[str]]
MakeEngine = Callable[..., Path]
IMPORTS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from amcnet import AmcNetError
from amcnet.runtime.trt.card import EngineFile
from amcnet.runtime.backends.open_backend import open_backend

def inputs(seed):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(1, 3, 384, 384)).astype(np.float32) for name in ("image", "flow_image")}

def expected(seed):
    still, moving = (array.mean(axis=1, keepdims=True) for array in inputs(seed).values())
    return 1 / (1 + np.exp(-(still + 0.5 * moving - 0.7)))

file = EngineFile.read(sys.argv[1])
"""
NOTHING_LEFT = "released:memories=0,streams=0,events=0,graphs=0"


def _done(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


def _log(path: Path) -> list[tuple[str, str, int, int]]:
    rows = (line.split() for line in path.read_text().splitlines())
    return [(stream, what, int(begin), int(end)) for stream, what, begin, end in rows]


def test_outputs_equal_the_formula_and_one_graph_is_replayed(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path
) -> None:
    code = """
with open_backend(file, threads=1) as network:
    print(network.name)
    for seed in range(4):
        outputs = network.run(inputs(seed))
        assert list(outputs) == ["mask"]
        np.testing.assert_allclose(outputs["mask"], expected(seed), atol=1e-6)
    kept = outputs["mask"]
network.close()
np.testing.assert_allclose(kept, expected(3), atol=1e-6)
try:
    network.run(inputs(0))
except ValueError as error:
    print(error)
"""
    log = tmp_path / "log"
    engine = make_engine(tmp_path / "x.engine", "amcnet")
    name, closed = _done(on_fake_gpu(IMPORTS + code, engine, FAKE_CUDA_LOG=log)).splitlines()
    assert name == "TensorRT 10.16.1.11 on NVIDIA Made-up GPU, fp16, a CUDA graph"
    assert "closed" in closed
    done = Counter(what for _, what, _, _ in _log(log))
    # Once to warm up and four times by the graph, in one context.
    assert (done["graph"], done["compute"], done["upload"], done["download"]) == (4, 5, 10, 5)
    assert done["context-made"] == done["context-dropped"] == 1
    assert _log(log)[-1][1] == NOTHING_LEFT


def test_further_outputs_are_copied_on_request(on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path) -> None:
    code = """
extra = sys.argv[2:]
with open_backend(file, threads=1, extra_outputs=extra) as network:
    outputs = network.run(inputs(0))
    assert list(outputs) == ["mask", *extra]
    np.testing.assert_allclose(outputs["mask"], expected(0), atol=1e-6)
"""
    outputs = {"gate_scores": ["FLOAT", [1, 5, 2]], "mask": ["FLOAT", [1, 1, 384, 384]]}
    engine = make_engine(tmp_path / "x.engine", "amcnet", outputs=outputs)
    for extra in ([], ["gate_scores"]):
        log = tmp_path / f"log{len(extra)}"
        _done(on_fake_gpu(IMPORTS + code, engine, *extra, FAKE_CUDA_LOG=log))
        downloads = [what for _, what, _, _ in _log(log)].count("download")
        assert downloads == 2 * (1 + len(extra)), "one per output, to warm up and by the graph"


def test_concurrent_threads_have_a_context_each_and_overlap(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path
) -> None:
    code = """
def mask(seed):
    return network.run(inputs(seed))["mask"]

with open_backend(file, threads=1) as network:
    for _ in range(2):  # two videos: threads of their own each
        with ThreadPoolExecutor(2) as pool:
            for seed, answer in enumerate(pool.map(mask, range(6))):
                np.testing.assert_allclose(answer, expected(seed), atol=1e-6)
"""
    log = tmp_path / "log"
    engine = make_engine(tmp_path / "x.engine", "amcnet", seconds=0.03)
    _done(on_fake_gpu(IMPORTS + code, engine, FAKE_CUDA_LOG=log, FAKE_CUDA_COPY_US=10_000))
    rows = _log(log)
    assert Counter(what for _, what, _, _ in rows)["context-made"] == 2
    assert "two-at-once-in-one-context" not in {what for _, what, _, _ in rows}
    computing = [(stream, begin, end) for stream, what, begin, end in rows if what == "compute"]
    copying = [(stream, begin, end) for stream, what, begin, end in rows if what in ("upload", "download")]
    assert any(a != b and s < y and x < e for a, s, e in computing for b, x, y in copying), "one copies, one computes"
    assert rows[-1][1] == NOTHING_LEFT


def test_an_engine_that_cannot_be_recorded_runs_without_a_graph(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path
) -> None:
    code = """
with open_backend(file, threads=1) as network:
    print(network.name)
    for seed in range(2):
        np.testing.assert_allclose(network.run(inputs(seed))["mask"], expected(seed), atol=1e-6)
"""
    engine = make_engine(tmp_path / "x.engine", "amcnet", not_recordable=True)
    assert _done(on_fake_gpu(IMPORTS + code, engine)).endswith("fp16, no CUDA graph\n")


def test_wrong_inputs_are_refused(on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path) -> None:
    code = """
def said(error_of, *arguments):
    try:
        error_of(*arguments)
    except AmcNetError as error:
        print(type(error).__name__, error)

with open_backend(file, threads=1) as network:
    said(network.run, inputs(0) | {"image": inputs(0)["image"].astype(np.float64)})
    said(network.run, {"image": inputs(0)["image"][..., :9], "flow_image": inputs(0)["image"]})
    said(network.run, {"image": inputs(0)["image"]})
    said(network.run, inputs(0) | {"image": np.full_like(inputs(0)["image"], np.nan)})
    np.testing.assert_allclose(network.run(inputs(1))["mask"], expected(1), atol=1e-6)
said(open_backend, EngineFile.read(sys.argv[2]), 1)
"""
    engine = make_engine(tmp_path / "x.engine", "amcnet")
    other = make_engine(
        tmp_path / "y.engine", "amcnet", outputs={"salience": ["FLOAT", [1, 1, 384, 384]]}, formula="nothing"
    )
    log = tmp_path / "log"
    result = on_fake_gpu(IMPORTS + code, engine, other, FAKE_CUDA_LOG=log)
    dtype, shape, missing, nan, contract = _done(result).splitlines()
    wanted = "takes image float32 (1, 3, 384, 384), flow_image float32 (1, 3, 384, 384); got image "
    assert f"{wanted}float64 (1, 3, 384, 384)" in dtype
    assert f"{wanted}float32 (1, 3, 384, 9)" in shape
    assert dtype.startswith("ModelFileError ")
    assert missing.endswith("got image float32 (1, 3, 384, 384)")
    assert "the output 'mask' has values that are not finite" in nan
    assert "has the inputs image, flow_image and the outputs salience; expected" in contract
    assert [row[1] for row in _log(log)].count(NOTHING_LEFT) == 2


def test_a_gpu_that_fails_during_a_run_is_an_error(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path
) -> None:
    code = """
try:
    with open_backend(file, threads=1) as network:
        for seed in range(9):
            network.run(inputs(seed))
except AmcNetError as error:
    print(seed, type(error).__name__, error)
"""
    engine = make_engine(tmp_path / "x.engine", "amcnet")
    said = _done(on_fake_gpu(IMPORTS + code, engine, FAKE_CUDA_FAIL="cuStreamSynchronize:4:700"))
    assert said.startswith("2 BackendError x.engine (amcnet, fp16, built by TensorRT 10.16.1.11 for SM 8.6) failed: ")
    assert "GPU work failed: CUDA error" in said


def test_fp16_outputs_are_returned_as_fp32(on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path) -> None:
    code = """
with open_backend(file, threads=1) as network:
    mask = network.run(inputs(0))["mask"]
    assert mask.dtype == np.float32
    np.testing.assert_allclose(mask, expected(0), atol=1e-3)
"""
    outputs = {"mask": ["HALF", [1, 1, 384, 384]]}
    _done(on_fake_gpu(IMPORTS + code, make_engine(tmp_path / "x.engine", "amcnet", outputs=outputs)))
