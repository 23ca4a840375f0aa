"""Memory of the largest export, the pipeline with ResNet-101."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import onnx
import pytest

_EXPORT = """
import sys
from pathlib import Path
from amcnet.export.cli import main
sys.argv = ["export-onnx", "pipeline", "--seed", "1", "-o", sys.argv[1]]
status = main()
print(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")))
sys.exit(status)
"""


@pytest.mark.slow
def test_the_pipeline_of_resnet_101_exports_within_8_gb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of amcnet.onnx and of pwcnet.onnx is in it."""
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell a process's memory in /proc")
    result = subprocess.run([sys.executable, "-c", _EXPORT, str(tmp_path)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    peak_gb = int(result.stdout.splitlines()[-1].split()[1]) * 1024 / 1e9
    with capsys.disabled():
        print(f"\npipeline.onnx with ResNet-101: peak {peak_gb:.1f} GB")
    assert (tmp_path / "pipeline.onnx").stat().st_size > 600e6
    assert peak_gb < 8
    # 1054 nodes. Written out, the five correlations alone would be 81 slices each, and the export take minutes.
    nodes = Counter(node.op_type for node in onnx.load(tmp_path / "pipeline.onnx").graph.node)
    assert (nodes["AmcCorrelation"], nodes["AmcWarp"], nodes["AmcCoAttention"]) == (5, 4, 1)
    assert nodes.total() < 1500
