"""GPUs by their data sheets, and what shares of those sheets' figures published measurements have reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """Peak operations a second by precision, and bytes a second of its memory; `source` is where they stand."""

    name: str
    flops_per_second: dict[str, float]
    bytes_per_second: float
    source: str


# Without sparsity. FP16 on tensor cores; the GTX 1080 Ti computes half at 1/64 of its speed, which nobody would use.
GPUS = (
    Gpu(
        name="GTX 1080 Ti",
        flops_per_second={"fp32": 11.3e12},
        bytes_per_second=484e9,
        source="vortez.net/articles_pages/nvidia_gtx_1080_ti_review,2.html (3584 cores, 1582 MHz, 484 GB/s)",
    ),
    Gpu(
        name="T4",
        flops_per_second={"fp32": 8.1e12, "fp16": 65e12},
        bytes_per_second=320e9,
        source="sysrqmts.com/en/gpus/nvidia/tesla/t4",
    ),
    Gpu(
        name="RTX 3090",
        flops_per_second={"fp32": 35.6e12, "fp16": 142e12},
        bytes_per_second=936e9,
        source="holynerdvana.blogspot.com/2022/10/nvidia-geforce-rtx-3090-specifications.html",
    ),
    Gpu(
        name="RTX 4090",
        flops_per_second={"fp32": 82.6e12, "fp16": 165e12},
        bytes_per_second=1008e9,
        source="waredb.com/processor/nvidia-geforce-rtx-4090",
    ),
    Gpu(
        name="A100 80 GB",
        flops_per_second={"fp32": 19.5e12, "fp16": 312e12},
        bytes_per_second=2039e9,
        source="glennklockwood.com/garden/processors/A100",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Published:
    """The share of a GPU's peak that a published latency at batch 1 amounts to."""

    what: str
    precision: str
    share: float
    source: str


# Shares of the peak: the work (2 FLOPs a multiplication) by the time, by the data sheet. Networks of convolutions at
# batch 1. They span the error bar of a prediction; what no figure was found for is not predicted.
PUBLISHED = (
    Published(
        what="AMC-Net, 384x384, GTX 1080 Ti, PyTorch",
        precision="fp32",
        share=0.25,
        source="Yang et al., ICCV 2021: 0.057 s, 163.5 GFLOP",
    ),
    Published(
        what="ResNet-50, 224x224, V100, TensorRT 4",
        precision="fp32",
        share=0.18,
        source="gist.github.com/1duo/efd3be1d: 373 pictures/s, 7.7 GFLOP each, of 15.7 TFLOP/s",
    ),
    Published(
        what="PWC-Net, 500x1000, RTX 3090, PyTorch 2.2",
        precision="fp32",
        share=0.11,
        source="hmorimitsu/ptlflow, model_benchmark-all.csv: 50.7 ms, 192 GFLOP",
    ),
    Published(
        what="ResNet-50, 224x224, T4, TensorRT behind a server",
        precision="fp16",
        share=0.04,
        source="NVIDIA/DeepLearningExamples, triton/resnet50: 332 pictures/s of 65 TFLOP/s",
    ),
    Published(
        what="ResNet-50, 224x224, V100, TensorRT 4, batch 8",
        precision="fp16",
        share=0.15,
        source="gist.github.com/1duo/efd3be1d: 2429 pictures/s of 125 TFLOP/s; as much work as one large picture",
    ),
)
