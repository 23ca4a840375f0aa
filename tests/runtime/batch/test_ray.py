"""Batches on a Ray cluster of two nodes on this machine."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amcnet.runtime.batch import cli
from amcnet.runtime.batch.batch import run_batch
from amcnet.runtime.batch.progress import BatchProgress
from amcnet.runtime.batch.ray_workers import RayWorkers, claim_cores, open_cluster
from amcnet.runtime.batch.video import Video
from amcnet.runtime.batch.worker import segment_video
from amcnet.runtime.errors import BackendError
from amcnet.runtime.infer import InferOptions

Options = Callable[..., Any]
MakeVideos = Callable[..., None]
_NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
_MISSING = "Ray is not installed: make test-ray"


@pytest.fixture(scope="module")
def head() -> Iterator[Any]:
    """A cluster of one node, for all tests."""
    pytest.importorskip("ray", reason=_MISSING)
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", ":".join(path for path in [str(Path(__file__).parent), *sys.path] if path))
        cluster = Cluster(initialize_head=True, head_node_args=_NODE)
        yield cluster
        cluster.shutdown()


@pytest.fixture
def cluster(head: Any) -> Any:
    """Two nodes with one CPU each; `cluster.worker` is the one that can be removed."""
    if getattr(head, "worker", None) is None:
        head.worker = head.add_node(**_NODE)
    return head


def _states(folder: Path) -> dict[str, tuple[str, int]]:
    statuses = {path.stem: json.loads(path.read_text()) for path in sorted((folder / "status").rglob("*.json"))}
    return {name: (status["state"], status["attempts"]) for name, status in statuses.items()}


class Watch(BatchProgress):
    """Calls `at_frame(video, done)` for each message of a video in hand."""

    def __init__(self, at_frame: Callable[[Video, int], None]) -> None:
        super().__init__()
        self._at_frame = at_frame

    def frames(self, video: Video, done: int, expected: int | None) -> None:
        super().frames(video, done, expected)
        self._at_frame(video, done)


@pytest.mark.slow
def test_200_clips_are_segmented_of_which_some_fail(
    options: Options, make_videos: MakeVideos, faulty_segment: Any, cluster: Any, tmp_path: Path
) -> None:
    videos = tmp_path / "videos"
    make_videos("crash", frames=3)
    for name in ("hang", *(f"clip{place}" for place in range(191))):
        shutil.copy(videos / "crash.mp4", videos / f"{name}.mp4")
    for place in range(7):
        (videos / f"broken{place}.mp4").write_text("no video")
    out = tmp_path / "out"
    result = run_batch(options(ray=cluster.address, timeout=20, retries=0), segment=faulty_segment)
    messages = dict(result.failed)
    assert result.done == 191
    assert messages.keys() == {"crash.mp4", "hang.mp4", *(f"broken{place}.mp4" for place in range(7))}
    assert messages["crash.mp4"].startswith("its process ended by SYSTEM_ERROR (Worker unexpectedly exits")
    assert messages["hang.mp4"].startswith("not done after 20 s (--timeout), at frame ")
    assert "broken0.mp4: the video cannot be opened" in messages["broken0.mp4"]
    assert len(list(out.glob("clip*/masks/*.png"))) == 191 * 3
    assert set(_states(out).values()) == {("done", 1), ("failed", 1)}


@pytest.mark.slow
def test_the_videos_of_a_lost_node_are_segmented_on_another(
    options: Options, make_videos: MakeVideos, cluster: Any, tmp_path: Path, amcnet_onnx: Path
) -> None:
    make_videos("a", "b", "c", "d", frames=300)
    in_hand: set[str] = set()

    def remove_node(video: Video, done: int) -> None:
        in_hand.add(video.relative)
        if len(in_hand) == 2 and cluster.worker:
            cluster.remove_node(cluster.worker, allow_graceful=False)
            cluster.worker = None

    result = run_batch(options(ray=cluster.address, retries=0), Watch(remove_node))
    assert cluster.worker is None
    assert (result.done, result.failed) == (4, [])
    out = tmp_path / "out"
    assert set(_states(out).values()) == {("done", 1)}, "the loss of a node is no attempt"
    reports = [json.loads((out / name / "run.json").read_text()) for name in "abcd"]
    assert [(report["complete"], report["frames"]) for report in reports] == [(True, 300)] * 4
    # The videos are the same, so all the masks have to be, wherever they were computed.
    masks = [b"".join(path.read_bytes() for path in sorted((out / name / "masks").iterdir())) for name in "abcd"]
    assert len(set(masks)) == 1


@pytest.mark.slow
def test_ctrl_c_leaves_unfinished_videos_resumable(
    options: Options, make_videos: MakeVideos, cluster: Any, tmp_path: Path
) -> None:
    make_videos("a", "b", "c", frames=300)
    in_hand: set[str] = set()

    def check() -> None:
        if len(in_hand) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(options(ray=cluster.address), Watch(lambda video, done: in_hand.add(video.relative)), check)
    out = tmp_path / "out"
    for name in "ab":
        report = json.loads((out / name / "run.json").read_text())
        assert 0 < report["frames"] == len(list((out / name / "masks").iterdir())) < 300
    assert set(_states(out).values()) == {("running", 1)}


def _command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["amc-batch", *map(str, arguments)])
    status = cli.main()
    return status, capsys.readouterr().err


@pytest.mark.slow
def test_ray_of_another_version_is_an_error(
    make_videos: MakeVideos,
    cluster: Any,
    tmp_path: Path,
    amcnet_onnx: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_videos("a")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ray.__version__", "2.0.0")
    arguments = ["videos", "-o", "out", "--amcnet", amcnet_onnx, "--ray", cluster.address]
    status, err = _command(monkeypatch, capsys, *arguments)
    assert status == 2
    assert err.startswith(f"error: the Ray cluster at {cluster.address} cannot be used: ")
    assert "2.0.0" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_address_without_ray_is_an_error(
    make_videos: MakeVideos,
    tmp_path: Path,
    amcnet_onnx: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("ray", reason=_MISSING)
    make_videos("a")
    monkeypatch.chdir(tmp_path)
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        arguments = ["videos", "-o", "out", "--amcnet", amcnet_onnx, "--ray", address]
        status, err = _command(monkeypatch, capsys, *arguments)
    assert status == 2
    assert err.startswith(f"error: no Ray cluster runs at {address} (")
    assert err.endswith("Fix: ray start --head, or --ray HOST:PORT\n")
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["videos"]


@pytest.mark.parametrize("address", ["ray://host:10001", "host", "host:port", ":6379"])
def test_other_texts_are_no_address(address: str) -> None:
    pytest.importorskip("ray", reason=_MISSING)
    with pytest.raises(BackendError, match="expected HOST:PORT, such as"), open_cluster(address):
        pass


def test_a_machine_without_a_cluster_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason=_MISSING)

    def init(**_: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance")

    monkeypatch.setattr(ray, "init", init)
    message = r"^no Ray cluster was found \(Could not find .*\); expected a running one\. Fix: ray start --head"
    with pytest.raises(BackendError, match=message), open_cluster("auto"):
        pass


def test_missing_ray_is_an_error_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amcnet.runtime.extras.is_installed", lambda module: False)
    with pytest.raises(BackendError, match=r"needs Ray, .*pip install 'amcnet\[ray\]'"), open_cluster("auto"):
        pass


@pytest.mark.parametrize(
    ("on_gpu", "jobs", "count", "asked"),
    [(False, None, 6, {"num_cpus": 1, "num_gpus": 0}), (True, None, 3, {"num_cpus": 1, "num_gpus": 1})],
)
def test_an_actor_requests_the_resources_that_it_uses(
    on_gpu: bool, jobs: int | None, count: int, asked: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason=_MISSING)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 6.0, "GPU": 3.0})
    workers = RayWorkers(InferOptions(source="", output=""), jobs=jobs, on_gpu=on_gpu, segment=segment_video)
    assert (workers.count, workers.request) == (count, asked)


_CLAIM = """
import os, sys; from pathlib import Path; from amcnet.runtime.batch.ray_workers import claim_cores
files = claim_cores(1, Path(sys.argv[1])); print(len(files), sorted(os.sched_getaffinity(0)), flush=True); input()
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "sched_getaffinity"), reason="no processor affinity on this system")
def test_each_process_claims_a_processor_of_its_own(tmp_path: Path) -> None:
    import os
    import subprocess

    cores = sorted(os.sched_getaffinity(0))
    command = [sys.executable, "-c", _CLAIM, str(tmp_path)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(len(cores) + 1)
    ]
    try:
        said = sorted(process.stdout.readline().strip() for process in processes if process.stdout)
    finally:
        for process in processes:
            process.communicate("\n")
    assert said == sorted([f"0 {cores}", *(f"1 [{core}]" for core in cores)])
    assert claim_cores(len(cores) + 1, tmp_path) == []
    files = claim_cores(len(cores), tmp_path)  # all of them, so that nothing changes for the tests after this one
    assert len(files) == len(cores), "claims end with their process"
    for file in files:
        os.close(file)
