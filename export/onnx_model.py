"""ONNX model of a lowered network: readable names, custom functions, opset and metadata."""

from __future__ import annotations

import ast
import logging
import threading
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from onnx import defs
from torch import Tensor, nn

from ..runtime.errors import ModelFileError
from .functions import DOMAIN, functions

OPSETS = (17, 18)  # GridSample of opset 20 gives wrong results on TensorRT (NVIDIA/TensorRT#4646)
_EXPORTED_OPSET = 18  # written by the PyTorch exporter
_IR_VERSION = 8  # the first with functions; current runtimes read it
_ONE_EXPORT = threading.Lock()  # the exporter, its log level and the warning filters are global to the process


def to_onnx(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    *,
    opset: int,
    dynamic_batch: bool,
    metadata: Mapping[str, str],
) -> ir.Model:
    """Trace a lowered `network` with `inputs`, in this order, to an ONNX model with outputs named `outputs`.

    Raises ValueError for an opset other than 17 and 18, ModelFileError for an operator that opset 17 lacks.
    """
    if opset not in OPSETS:
        raise ValueError(f"opset: got {opset}, expected 17 or 18")
    shapes = tuple({0: torch.export.Dim("batch")} for _ in inputs) if dynamic_batch else None
    with _ONE_EXPORT, _quiet_exporter(), torch.no_grad():
        program = torch.onnx.export(
            network,
            tuple(inputs.values()),
            dynamo=True,
            verbose=False,
            opset_version=_EXPORTED_OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=shapes,
        )
    assert program is not None
    model = program.model
    _name_by_module(model.graph)
    if opset < _EXPORTED_OPSET:
        _to_opset_17(model.graph)
    model.opset_imports[""] = opset
    used = {node.op_type for node in model.graph if node.domain == DOMAIN}
    for proto in functions(opset):
        if proto.name in used:
            function = ir.serde.deserialize_function(proto)
            model.functions[function.identifier()] = function
    model.ir_version = _IR_VERSION
    model.producer_name, model.producer_version = "amcnet", metadata["amcnet.tool_version"]
    model.metadata_props.clear()
    model.metadata_props.update(metadata)
    return model


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Suppress warnings about missing torchvision, deprecations inside torch, and names of dimensions."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def store_weights_fp16(graph: ir.Graph) -> None:
    """Store weights in FP16, each followed by a Cast to FP32 that runtimes fold when they load the file.

    Tensors with fewer than 256 elements and tensors with values beyond ±65504, the range of FP16, stay FP32.
    """
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.size < 256:
            continue
        weights = tensor.numpy()
        if np.abs(weights).max() > np.finfo(np.float16).max:
            continue
        stored = ir.Value(name=f"{name}.fp16", const_value=ir.tensor(weights.astype(np.float16)))
        cast = ir.node("Cast", [stored], attributes={"to": ir.DataType.FLOAT}, name=f"{name}/Cast")
        ir.convenience.replace_all_uses_with(value, cast.outputs[0])
        del graph.initializers[name]
        cast.outputs[0].name = name
        graph.register_initializer(stored)
        graph.insert_before(graph[0], cast)


def save(model: ir.Model, path: Path) -> None:
    """Write `model` as one file that includes its weights."""
    ir.save(model, path)


def _name_by_module(graph: ir.Graph) -> None:
    """Name nodes and values after their PyTorch module (`image_stages.3.5.conv2`), and remove the exporter's metadata.

    That metadata contains Python stack traces with local paths.
    """
    seen: Counter[str] = Counter()
    results = {value.name for value in graph.outputs}
    for node in graph:
        scopes = [scope for scope in _name_scopes(node) if scope]
        name = f"{scopes[-1]}/{node.op_type}" if scopes else node.op_type
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name]}"
        for index, value in enumerate(node.outputs):
            if value.name not in results:
                value.name = node.name if index == 0 else f"{node.name}:{index}"
    for item in [*graph, *graph.inputs, *graph.outputs, *graph.initializers.values()]:
        item.metadata_props.clear()
        item.doc_string = None
    for node in graph:
        for value in node.outputs:
            value.metadata_props.clear()
    graph.doc_string, graph.name = None, "amcnet"
    graph.metadata_props.clear()


def _name_scopes(node: ir.Node) -> list[str]:
    scopes = ast.literal_eval(node.metadata_props.get("pkg.torch.onnx.name_scopes", "[]"))
    # The first scope is `TwoInputs` with its attribute `network`; the last is the ATen node itself.
    return [str(scope).removeprefix("network").removeprefix(".") for scope in scopes[:-1]]


def _to_opset_17(graph: ir.Graph) -> None:
    """Convert a graph of opset 18 to opset 17. Of the operators in use, only reductions differ in form."""
    for node in list(graph):
        if node.domain != "":
            continue
        if node.op_type in ("ReduceMean", "ReduceMax"):
            axes = node.inputs[1]
            if axes is None or axes.const_value is None:
                raise ModelFileError(
                    f"{node.name} cannot be converted to opset 17: got computed axes, expected constant ones. Fix: "
                    "export with --opset 18"
                )
            node.attributes["axes"] = ir.AttrInt64s("axes", np.ravel(axes.const_value.numpy()).tolist())
            node.attributes.pop("noop_with_empty_axes", None)
            node.resize_inputs(1)
        elif node.op_type in ("Resize", "Pad", "Split"):
            # Equivalent as long as no attribute introduced in opset 18 is set.
            for attribute in ("antialias", "axes", "keep_aspect_ratio_policy", "num_outputs"):
                node.attributes.pop(attribute, None)
        elif defs.get_schema(node.op_type, 17).since_version != defs.get_schema(node.op_type, 18).since_version:
            raise ModelFileError(
                f"{node.op_type} ({node.name}) differs between opsets 17 and 18. Fix: export with --opset 18"
            )
    for name in [name for name, value in graph.initializers.items() if not value.uses()]:
        del graph.initializers[name]
