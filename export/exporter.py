"""Checkpoint -> ONNX file: load, lower, write, run it in ONNX Runtime, and keep it only if it agrees with PyTorch."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..models import AMCNet, AMCNetConfig, PWCNet, load_amcnet, load_pwcnet, seed_weights
from ..runtime.backends.onnxruntime_session import open_session
from ..runtime.errors import ModelFileError
from ..runtime.extras import require
from ..runtime.files import onnx_file
from ..runtime.files.atomic import make_folder, replacing
from ..runtime.files.onnx_file import OnnxFile, file_sha256
from ..runtime.preprocessing import spec
from ..runtime.version import __version__
from .lowering import lower
from .onnx_model import save, store_weights_fp16, to_onnx
from .pipeline_module import Pipeline
from .pipeline_module import preprocessing as pipeline_preprocessing

MAX_DIFFERENCE = 1e-3  # probability for masks, pixels for flow
# Weights rounded to 11 bits; and the flow picture of 8 bits inside pipeline.onnx, where a flow that differs by 1e-5 px
# now and then becomes another gray level.
MAX_DIFFERENCE_ROUNDED = 1e-2


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What all exports have in common.

    opset: 17 or 18. dynamic_batch: whether the first dimension of all inputs and outputs is free. half_weights: whether
    the weights are stored in 16 bits; the file computes in 32 all the same.
    """

    opset: int = 17
    dynamic_batch: bool = False
    half_weights: bool = False


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The file, and how far its outputs in ONNX Runtime are from PyTorch's on a generated frame pair."""

    file: OnnxFile
    max_difference: float


@dataclass(frozen=True, kw_only=True)
class Seed:
    """In place of a checkpoint: untrained weights, for timing and for building engines."""

    number: int

    @property
    def name(self) -> str:
        return f"untrained, seed {self.number}"


Weights = Path | Seed


def export_amcnet(
    weights: Weights,
    folder: Path,
    options: ExportOptions | None = None,
    *,
    config: AMCNetConfig | None = None,
    size: tuple[int, int] = spec.AMCNET.size,
    with_attention: bool = False,
) -> Exported:
    """Write `folder`/amcnet.onnx: image, flow_image (1, 3, 384, 384) -> mask (1, 1, 384, 384) in (0, 1).

    `config` is for seeded weights; a checkpoint tells its own. `size` is (width, height), multiples of 32, if not the
    paper's 384×384. `with_attention` adds the outputs attention0 (192×192) to attention4 (12×12). Raises
    CheckpointError, OutputError, ValueError for another size, and ModelFileError if the file's outputs differ from
    PyTorch's by more than 1e-3; then nothing stands under the final name.
    """
    if size[0] % 32 or size[1] % 32 or min(size) < 32:
        raise ValueError(f"size is {size[0]}x{size[1]}; expected multiples of 32")
    network, checkpoint = _load_amcnet(weights, config)
    prepare = replace(spec.AMCNET, size=size)
    frame, next_frame = _frame_pair(prepare.size)
    inputs = {"image": _normalized(frame, prepare), "flow_image": _normalized(next_frame, prepare)}
    outputs = ["mask"]
    if with_attention:
        outputs += [f"attention{5 - network.config.corrections + i}" for i in range(network.config.corrections)]
    metadata = _metadata("amcnet", checkpoint, prepare) | {onnx_file.CONFIG: json.dumps(asdict(network.config))}
    wrapped = _Outputs(network, lambda output: (output.mask, *output.attentions)[: len(outputs)])
    return _export(wrapped, inputs, outputs, folder / "amcnet.onnx", options, metadata)


def export_pwcnet(
    weights: Weights, folder: Path, options: ExportOptions | None = None, *, size: tuple[int, int] = (896, 512)
) -> Exported:
    """Write `folder`/pwcnet.onnx: frame, next_frame (1, 3, H, W) -> flow (1, 2, H/4, W/4) in pixels of the input.

    `size` is (W, H), multiples of 64. Raises as `export_amcnet`, and ValueError for another size.
    """
    if size[0] % 64 or size[1] % 64 or min(size) < 64:
        raise ValueError(f"size is {size[0]}x{size[1]}; expected multiples of 64")
    network, checkpoint = _load_pwcnet(weights)
    prepare = spec.pwcnet(size)
    frame, next_frame = _frame_pair(size)
    inputs = {"frame": _normalized(frame, prepare), "next_frame": _normalized(next_frame, prepare)}
    metadata = _metadata("pwcnet", checkpoint, prepare)
    wrapped = _Outputs(network, lambda flow: (flow,))
    return _export(wrapped, inputs, ["flow"], folder / "pwcnet.onnx", options, metadata)


def export_pipeline(
    amcnet_weights: Weights,
    pwcnet_weights: Weights,
    folder: Path,
    options: ExportOptions | None = None,
    *,
    video_size: tuple[int, int] = (854, 480),
    config: AMCNetConfig | None = None,
) -> Exported:
    """Write `folder`/pipeline.onnx: frame, next_frame uint8 (1, H, W, 3) RGB -> mask (1, H, W) in (0, 1).

    `video_size` is (W, H). Raises as `export_amcnet`, but from a difference of 1e-2 on, since the flow picture inside
    is rounded to 8 bits; and ValueError for a dynamic batch: frames come one at a time.
    """
    if options is not None and options.dynamic_batch:
        raise ValueError("pipeline.onnx takes one pair of frames; a dynamic batch is for amcnet and pwcnet")
    amcnet, amcnet_checkpoint = _load_amcnet(amcnet_weights, config)
    pwcnet, pwcnet_checkpoint = _load_pwcnet(pwcnet_weights)
    pipeline = Pipeline(amcnet, pwcnet, video_size).eval()
    inputs = {
        name: torch.from_numpy(frame)[None]
        for name, frame in zip(("frame", "next_frame"), _frame_pair(video_size), strict=True)
    }
    checkpoint = f"{amcnet_checkpoint} and {pwcnet_checkpoint}"
    metadata = _metadata("pipeline", checkpoint, pipeline_preprocessing(video_size))
    metadata[onnx_file.CONFIG] = json.dumps(asdict(amcnet.config))
    wrapped = _Outputs(pipeline, lambda mask: (mask,))
    return _export(wrapped, inputs, ["mask"], folder / "pipeline.onnx", options, metadata)


class _Outputs(nn.Module):
    """A network whose outputs are the tensors that the file is to have, as a tuple."""

    def __init__(self, network: nn.Module, select: Callable[..., tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.network = network
        self.select = select

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
        return self.select(self.network(first, second))


def _export(
    network: _Outputs,
    inputs: Mapping[str, Tensor],
    outputs: list[str],
    path: Path,
    options: ExportOptions | None,
    metadata: dict[str, str],
) -> Exported:
    require("an export", "onnxscript", "onnxruntime")  # at once, not after half a minute
    options = options or ExportOptions()
    with torch.inference_mode():
        expected = [tensor.numpy() for tensor in network(*inputs.values())]
    make_folder(path.parent)
    with replacing(path) as temporary:
        model = to_onnx(
            lower(network),
            inputs,
            outputs,
            opset=options.opset,
            dynamic_batch=options.dynamic_batch,
            metadata=metadata,
        )
        if options.half_weights:
            store_weights_fp16(model.graph)
        save(model, temporary)
        # Free the 628 MB before ONNX Runtime loads them.
        del model
        network.network = nn.Identity()
        gc.collect()
        rounds = options.half_weights or metadata[onnx_file.MODEL] == "pipeline"
        allowed = MAX_DIFFERENCE_ROUNDED if rounds else MAX_DIFFERENCE
        max_difference = _difference(temporary, inputs, expected, allowed, path.name)
    return Exported(file=OnnxFile.read(path), max_difference=max_difference)


def _difference(
    path: Path, inputs: Mapping[str, Tensor], expected: list[np.ndarray], allowed: float, name: str
) -> float:
    session = open_session(path).session
    results = session.run(None, {key: value.numpy() for key, value in inputs.items()})
    difference = max(float(np.abs(a - b).max()) for a, b in zip(results, expected, strict=True))
    if not difference <= allowed:  # NaN too
        raise ModelFileError(
            f"{name} does not compute what the PyTorch network does: max |difference| {difference:.2e}, expected at "
            f"most {allowed:.0e}; nothing was kept. Try --opset 18, and report this with the versions of torch, "
            "onnxscript and onnxruntime"
        )
    return difference


def _load_amcnet(weights: Weights, config: AMCNetConfig | None) -> tuple[AMCNet, str]:
    if isinstance(weights, Seed):
        return seed_weights(AMCNet(config), weights.number), weights.name
    network = load_amcnet(weights)
    return network, file_sha256(weights)


def _load_pwcnet(weights: Weights) -> tuple[PWCNet, str]:
    if isinstance(weights, Seed):
        return seed_weights(PWCNet(), weights.number), weights.name
    return load_pwcnet(weights), file_sha256(weights)


def _metadata(network: str, checkpoint: str, prepare: spec.Preprocessing) -> dict[str, str]:
    return {
        onnx_file.MODEL: network,
        onnx_file.CHECKPOINT_SHA256: checkpoint,
        onnx_file.PRECISION: "fp32",
        onnx_file.PREPROCESSING: prepare.to_json(),
        onnx_file.TOOL_VERSION: __version__,
    }


def _frame_pair(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Two pictures (H, W, 3) uint8 of a texture that moves by (5, -3) pixels: something to compare outputs on."""
    width, height = size
    noise = np.random.default_rng(0).standard_normal((height // 8 + 3, width // 8 + 3, 3))
    texture = np.kron(noise, np.ones((8, 8, 1)))
    levels = np.clip(128 + 48 * texture, 0, 255).astype(np.uint8)
    return levels[8 : 8 + height, 8 : 8 + width].copy(), levels[11 : 11 + height, 3 : 3 + width].copy()


def _normalized(picture: np.ndarray, prepare: spec.Preprocessing) -> Tensor:
    ordered = picture if prepare.channel_order == "RGB" else picture[..., ::-1]
    scaled = (ordered / 255.0 - prepare.mean) / prepare.std
    return torch.from_numpy(scaled.transpose(2, 0, 1)[None].astype(np.float32))
