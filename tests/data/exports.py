"""The exports that several test files use, each made once per session whichever worker asks first."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import onnx
from filelock import FileLock

from amcnet.export import Exported, ExportOptions, Seed, export_amcnet, export_pipeline, export_pwcnet, export_raft
from amcnet.models import AMCNetConfig, RAFTConfig

SEED = Seed(number=1)
LIGHT = AMCNetConfig(backbone="mobilenet_v2")
EFFICIENT = AMCNetConfig(backbone="efficientnet_lite0")
SMALL = AMCNetConfig(backbone="resnet18")
PIPELINE_SIZE = (120, 60)  # PWC-Net inside computes at 128x64, as `pwcnet` does

EXPORTS: dict[str, Callable[[Path], Exported]] = {
    "light": lambda folder: export_amcnet(SEED, folder, config=LIGHT, size=(64, 64)),
    "efficient": lambda folder: export_amcnet(SEED, folder, config=EFFICIENT, size=(64, 64)),
    "light-fp16-weights": lambda folder: export_amcnet(
        SEED,
        folder,
        ExportOptions(opset=18, dynamic_batch=True, fp16_weights=True),
        config=LIGHT,
        size=(128, 128),
        with_attention=True,
    ),
    "amcnet": lambda folder: export_amcnet(SEED, folder, config=SMALL, with_attention=True),  # 384x384
    "amcnet-64": lambda folder: export_amcnet(SEED, folder, config=SMALL, size=(64, 64)),
    "fbms": lambda folder: export_amcnet(
        SEED, folder, config=AMCNetConfig(backbone="resnet18", appearance_decoder=True), size=(64, 64)
    ),
    "pwcnet": lambda folder: export_pwcnet(SEED, folder, size=(128, 64)),
    # Padded to 104x80; the coarsest volumes are 1x1.
    "raft": lambda folder: export_raft(SEED, folder, config=RAFTConfig(iterations=2), size=(101, 75)),
    "pipeline": lambda folder: export_pipeline(SEED, SEED, folder, video_size=PIPELINE_SIZE, config=SMALL),
    # For tests marked slow.
    "full-amcnet": lambda folder: export_amcnet(SEED, folder),  # ResNet-101 at 384x384
    "full-pwcnet": lambda folder: export_pwcnet(SEED, folder),  # 896x512
    "full-raft": lambda folder: export_raft(SEED, folder, config=RAFTConfig(iterations=6)),  # 448x256
    "full-raft-large": lambda folder: export_raft(
        SEED, folder, config=RAFTConfig(large=True, iterations=3), size=(448, 256)
    ),
    # Both networks are above in their full size: what joins them is what counts.
    "full-pipeline": lambda folder: export_pipeline(SEED, SEED, folder, video_size=(416, 240), config=SMALL),
}


def export_once(root: Path, name: str) -> Exported:
    """The export `name`, in a folder of its own below `root`; it is made if it is not there yet. Not to be changed."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "exported.pickle"
    with FileLock(root / f"{name}.lock"):
        if not done.exists():
            done.write_bytes(pickle.dumps(EXPORTS[name](folder)))
    exported: Exported = pickle.loads(done.read_bytes())
    return exported


def inputs_and_outputs(model: onnx.ModelProto) -> dict[str, tuple[object, ...]]:
    """Name -> type and dimensions of each input and output, such as ("FLOAT", "batch", 3, 64, 128)."""
    return {
        value.name: (
            onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type),
            *(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim),
        )
        for value in (*model.graph.input, *model.graph.output)
    }
