"""Initial weights from an ONNX file of `export-onnx`, such as the bundled network.

The export folds each batch norm into the convolution before it. `read_exported` gives that convolution the folded
weights and the norm the identity; `restore_batch_norms` then measures the statistics that training needs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..models.amcnet import LIGHT_BACKBONES, AMCNet, AMCNetConfig
from ..runtime.errors import CheckpointError
from ..runtime.extras import needed_by
from ..runtime.files.onnx_file import CONFIG, OnnxFile


def read_exported(path: Path) -> AMCNet:
    """Return the network of an exported file, in eval mode on the CPU; it computes what the file computes.

    Raises ModelFileError for a file that `export-onnx amcnet` did not make, CheckpointError for a ResNet backbone or
    another precision of the weights than FP32 and FP16, BackendError without the package onnx.
    """
    config = AMCNetConfig.from_json(OnnxFile.read(path, "amcnet").metadata[CONFIG])
    if config.backbone not in LIGHT_BACKBONES:
        raise CheckpointError(
            f"{path} holds {config.backbone} encoders; expected one of {', '.join(LIGHT_BACKBONES)} in an ONNX file. "
            "Fix: give --init the checkpoint (.pth) that it was exported from"
        )
    tensors = _initializers(path)
    network = AMCNet(config).eval()
    state = network.state_dict()
    norms = {name: norm for name, norm in network.named_modules() if isinstance(norm, nn.BatchNorm2d)}
    for name, norm in norms.items():
        convolution = f"{name.rpartition('.')[0]}.{int(name.rpartition('.')[2]) - 1}"  # the layer before the norm
        nn.init.constant_(norm.weight, float(np.sqrt(1 + norm.eps)))  # the identity, with a variance of 1
        tensors[f"{name}.weight"] = norm.weight.detach()
        tensors[f"{name}.bias"] = tensors.pop(f"{convolution}.bias", torch.empty(0))
        tensors |= {key: state[key] for key in state if key.startswith(f"{name}.") and key not in tensors}
    wrong = [key for key, value in state.items() if key not in tensors or tensors[key].shape != value.shape]
    if wrong:
        raise CheckpointError(
            f"{path} does not hold the weights of {len(wrong)} of {len(state)} tensors, such as {wrong[0]}; expected "
            "an FP32 file of export-onnx. Fix: give --init the FP32 file or the checkpoint (.pth)"
        )
    network.load_state_dict({key: tensors[key] for key in state})
    return network


@torch.no_grad()
def restore_batch_norms(network: AMCNet, image: Tensor, flow_image: Tensor) -> None:
    """Give the batch norms of a network of `read_exported` the statistics of a batch; its output remains the same.

    image, flow_image: (B, 3, H, W) float32, ImageNet-normalized; 32 samples or more give usable statistics.
    """

    def measure(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        mean, variance = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3), unbiased=False)
        assert norm.running_mean is not None  # track_running_stats is on
        assert norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.bias.add_(mean)
        norm.weight.copy_((variance + norm.eps).sqrt())

    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    was_training = network.training
    network.eval()(image, flow_image)
    network.train(was_training)
    for hook in hooks:
        hook.remove()


def _initializers(path: Path) -> dict[str, Tensor]:
    """Return the weights of an exported file by the names of the state dict, in FP32."""
    with needed_by(f"reading {path.name}"):
        import onnx
        from onnx import numpy_helper

    tensors = {}
    for initializer in onnx.load(path).graph.initializer:
        if initializer.name.startswith("network."):
            key = initializer.name.removeprefix("network.").removesuffix(".fp16").removesuffix(".half")  # .half: v0.1.0
            tensors[key] = torch.from_numpy(numpy_helper.to_array(initializer).astype(np.float32))
    return tensors
