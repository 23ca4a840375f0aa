"""RAFT against a second implementation, written from the paper over the public key names, for any seed, size and batch.

test_parity.py compares both sizes with outputs of the original, for one seed.
"""

from __future__ import annotations

import pytest
import torch
from references import checkpoint
from torch import Tensor
from torch.nn import functional as F

from amcnet.models import RAFT, load_raft
from amcnet.models.correlation_volume import correlation_volumes

StateDict = dict[str, Tensor]


class PlainRAFT:
    """RAFT as functions of a public state dict `weights`, with the lookup as sums over the four neighbors."""

    def __init__(self, weights: StateDict) -> None:
        self.weights = weights
        self.large = "update_block.mask.0.weight" in weights
        self.hidden, self.radius = (128, 4) if self.large else (96, 3)

    def __call__(self, frame: Tensor, next_frame: Tensor, iterations: int) -> Tensor:
        frame, next_frame = 2 * frame - 1, 2 * next_frame - 1
        first, second = (self.encoder(image, "fnet", "instance") for image in (frame, next_frame))
        state = self.encoder(frame, "cnet", "batch" if self.large else "none")
        hidden, context = torch.tanh(state[:, : self.hidden]), torch.relu(state[:, self.hidden :])
        batch, channels, height, width = first.shape
        products = torch.einsum("bcij,bckl->bijkl", first, second) / channels**0.5
        volumes = [products.reshape(-1, 1, height, width)]
        for _ in range(3):
            volumes.append(F.avg_pool2d(volumes[-1], 2, 2))
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        start = torch.stack((columns, rows)).float().expand(batch, -1, -1, -1)
        places = start
        for _ in range(iterations):
            hidden, correction = self.update(hidden, context, self.lookup(volumes, places), places - start)
            places = places + correction
        flow = 8 * (places - start)
        if not self.large:
            return F.interpolate(flow, scale_factor=8, mode="bilinear", align_corners=True)
        logits = 0.25 * self.conv(F.relu(self.conv(hidden, "update_block.mask.0")), "update_block.mask.2")
        shares = logits.view(batch, 1, 9, 8, 8, height, width).softmax(2)
        neighbors = F.unfold(flow, 3, padding=1).view(batch, 2, 9, 1, 1, height, width)
        fine = (shares * neighbors).sum(2).permute(0, 1, 4, 2, 5, 3)
        return fine.reshape(batch, 2, 8 * height, 8 * width)

    def conv(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = self.weights[f"{name}.weight"]
        padding = [side // 2 for side in weight.shape[2:]]
        return F.conv2d(x, weight, self.weights[f"{name}.bias"], stride, padding)

    def norm(self, x: Tensor, name: str, kind: str) -> Tensor:
        if kind == "batch":
            mean, variance, scale, shift = (
                self.weights[f"{name}.{part}"].view(1, -1, 1, 1)
                for part in ("running_mean", "running_var", "weight", "bias")
            )
        elif kind == "instance":
            mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), unbiased=False, keepdim=True)
            scale, shift = torch.ones(1), torch.zeros(1)
        else:
            return x
        return (x - mean) / torch.sqrt(variance + 1e-5) * scale + shift

    def encoder(self, x: Tensor, name: str, kind: str) -> Tensor:
        x = F.relu(self.norm(self.conv(x, f"{name}.conv1", 2), f"{name}.norm1", kind))
        count, strided = (2, 1) if self.large else (3, 2)  # convolutions of a block, and the one that has its stride
        for layer, block in ((layer, block) for layer in (1, 2, 3) for block in (0, 1)):
            prefix, stride = f"{name}.layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            y = x
            for k in range(1, count + 1):
                y = self.conv(y, f"{prefix}.conv{k}", stride if k == strided else 1)
                y = F.relu(self.norm(y, f"{prefix}.norm{k}", kind))
            if stride == 2:
                x = self.norm(self.conv(x, f"{prefix}.downsample.0", 2), f"{prefix}.downsample.1", kind)
            x = F.relu(x + y)
        return self.conv(x, f"{name}.conv2")

    def lookup(self, volumes: list[Tensor], places: Tensor) -> Tensor:
        batch, _, height, width = places.shape
        centers = places.permute(0, 2, 3, 1).reshape(-1, 2)
        offsets = torch.arange(-self.radius, self.radius + 1.0)
        found = []
        for level, volume in enumerate(volumes):
            last_y, last_x = volume.shape[2] - 1, volume.shape[3] - 1
            x = centers[:, 0, None, None] / 2**level + offsets[:, None] + 0 * offsets  # the first offset moves x
            y = centers[:, 1, None, None] / 2**level + offsets + 0 * offsets[:, None]
            total = torch.zeros_like(x)
            for column, row in ((x.floor() + i, y.floor() + j) for i in (0, 1) for j in (0, 1)):
                share = (1 - (x - column).abs()) * (1 - (y - row).abs())
                inside = (column >= 0) & (column <= last_x) & (row >= 0) & (row <= last_y)
                index = (row.clamp(0, last_y) * (last_x + 1) + column.clamp(0, last_x)).long()
                total += share * inside * volume.flatten(1).gather(1, index.flatten(1)).view_as(x)
            found.append(total.flatten(1))
        return torch.cat(found, 1).view(batch, height, width, -1).permute(0, 3, 1, 2)

    def update(self, hidden: Tensor, context: Tensor, correlation: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        encoder, gru, head = (f"update_block.{part}" for part in ("encoder", "gru", "flow_head"))
        seen = F.relu(self.conv(correlation, f"{encoder}.convc1"))
        if self.large:
            seen = F.relu(self.conv(seen, f"{encoder}.convc2"))
        moved = F.relu(self.conv(F.relu(self.conv(flow, f"{encoder}.convf1")), f"{encoder}.convf2"))
        motion = F.relu(self.conv(torch.cat((seen, moved), 1), f"{encoder}.conv"))
        inputs = torch.cat((context, motion, flow), 1)
        for unit in ("1", "2") if self.large else ("",):
            both = torch.cat((hidden, inputs), 1)
            z, r = (torch.sigmoid(self.conv(both, f"{gru}.conv{gate}{unit}")) for gate in "zr")
            q = torch.tanh(self.conv(torch.cat((r * hidden, inputs), 1), f"{gru}.convq{unit}"))
            hidden = (1 - z) * hidden + z * q
        return hidden, self.conv(F.relu(self.conv(hidden, f"{head}.conv1")), f"{head}.conv2")


def _frames(batch: int, height: int, width: int) -> list[Tensor]:
    noise = torch.rand((2, batch, 3, height // 8, width // 8), generator=torch.Generator().manual_seed(0))
    return [F.interpolate(coarse, (height, width), mode="bilinear") for coarse in noise]


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize(
    ("seed", "iterations", "shape"),
    [
        (2, 1, (1, 64, 64)),  # the coarsest volume is 1x1: the original, which divides by side - 1, returns NaN
        (3, 4, (2, 72, 136)),
        pytest.param(4, 12, (2, 128, 128), marks=pytest.mark.slow),
        pytest.param(5, 32, (1, 128, 128), marks=pytest.mark.slow),
    ],
)
def test_any_seed_equals_a_second_implementation(
    size: str, seed: int, iterations: int, shape: tuple[int, int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    weights = checkpoint(f"raft_{size}", seed)
    frames = _frames(*shape)
    with torch.inference_mode():
        flow = load_raft(weights, iterations)(*frames)
        difference = float((flow - PlainRAFT(weights)(frames[0], frames[1], iterations)).abs().max())
    with capsys.disabled():
        print(f"\nRAFT ({size}), seed {seed}, {iterations} iterations, max |difference|: {difference:.1e} px")
    assert difference <= 1e-3
    assert flow.shape == (shape[0], 2, *shape[1:])
    assert 0.1 < flow.abs().max() < 1000


def test_the_items_of_a_batch_do_not_depend_on_each_other() -> None:
    network = load_raft(checkpoint("raft_small"), 2)
    frames = _frames(2, 64, 72)
    with torch.inference_mode():
        alone = torch.cat([network(*(frame[i : i + 1] for frame in frames)) for i in range(2)])
        torch.testing.assert_close(network(*frames), alone, atol=1e-4, rtol=0)


def test_smaller_frames_have_no_coarsest_volume() -> None:
    """As in the original, whose pooling fails."""
    with pytest.raises(RuntimeError, match="too small"):
        correlation_volumes(*torch.zeros(2, 1, 4, 7, 8))
    with torch.device("meta"):
        network = RAFT()
        with pytest.raises(ValueError, match="frame is 8x8; expected multiples of 8, at least 64"):
            network(*torch.zeros(2, 1, 3, 8, 8))


@pytest.mark.parametrize("frames", [torch.zeros(2, 1, 3, 64, 64, dtype=torch.float64), torch.zeros(2, 1, 4, 64, 64)])
def test_frames_of_another_type_or_number_of_channels_are_refused(frames: Tensor) -> None:
    with pytest.raises(ValueError, match=r"frame is torch\.float.*; expected torch\.float32 \(B, 3, H, W\)"):
        load_raft(checkpoint("raft_small"), 1)(*frames)


def test_the_two_frames_have_the_same_shape() -> None:
    with pytest.raises(ValueError, match=r"next_frame is \(1, 3, 72, 64\); expected \(1, 3, 64, 64\), as frame"):
        load_raft(checkpoint("raft_small"), 1)(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 72, 64))
