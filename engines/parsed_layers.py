"""Layers of a parsed network: the type that each computes in, and its FLOPs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..runtime.trt.precision_report import Layer

if TYPE_CHECKING:
    from tensorrt import (
        IConvolutionLayer,
        IDeconvolutionLayer,
        ILayer,
        IMatrixMultiplyLayer,
        INetworkDefinition,
        ITensor,
    )


def parsed_layers(trt: ModuleType, network: INetworkDefinition, types: Mapping[str, str]) -> Iterator[Layer]:
    """The layers of `network` in its order. types: tensor -> type, where the library does not know it."""
    producers: dict[str, Any] = {}
    for index in range(network.num_layers):
        layer: ILayer = network.get_layer(index)
        yield Layer(
            name=layer.name,
            kind=layer.type.name.lower(),
            precision=_precision(trt, layer, producers, types),
            flops=_flops(trt, layer),
            origin=layer.metadata,
        )
        for number in range(layer.num_outputs):
            output: ITensor = layer.get_output(number)
            producers[output.name] = layer


def _precision(trt: ModuleType, layer: ILayer, producers: Mapping[str, Any], types: Mapping[str, str]) -> str:
    """Return the type of the layer's first input, or that before a DequantizeLinear: the layer runs in INT8 then.

    types: tensor -> type, where the library does not know it.
    """
    first: ITensor | None = layer.get_input(0) if layer.num_inputs else layer.get_output(0)
    if first is None:
        return "none"
    producer: ILayer | None = producers.get(first.name)
    if producer is not None and producer.type == trt.LayerType.DEQUANTIZE:
        quantized: ITensor = producer.get_input(0)
        first = quantized
    return types.get(first.name) or str(first.dtype.name.lower())


def _flops(trt: ModuleType, layer: ILayer) -> int:
    """Count the FLOPs of a convolution or matrix product, with 1 for free sizes; 0 for other layers.

    The library returns every layer as ILayer; setting its class gives access to the attributes of the layer type.
    """
    if layer.type not in (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION, trt.LayerType.MATRIX_MULTIPLY):
        return 0
    first: ITensor = layer.get_input(0)
    output: ITensor = layer.get_output(0)
    if layer.type == trt.LayerType.MATRIX_MULTIPLY:
        layer.__class__ = trt.IMatrixMultiplyLayer
        product: IMatrixMultiplyLayer = layer
        summed = first.shape[-2 if product.op0 == trt.MatrixOperation.TRANSPOSE else -1]
        return 2 * _volume(output.shape) * max(int(summed), 1)
    if layer.type == trt.LayerType.DECONVOLUTION:
        layer.__class__ = trt.IDeconvolutionLayer
        transposed: IDeconvolutionLayer = layer
        channels = int(transposed.num_output_maps) // int(transposed.num_groups)
        return 2 * _volume(first.shape) * channels * _volume(transposed.kernel_size_nd)
    layer.__class__ = trt.IConvolutionLayer
    convolution: IConvolutionLayer = layer
    channels = int(first.shape[1]) // int(convolution.num_groups)
    return 2 * _volume(output.shape) * channels * _volume(convolution.kernel_size_nd)


def _volume(shape: Any) -> int:
    return prod(max(int(size), 1) for size in shape)
