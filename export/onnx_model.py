"""A lowered network -> an ONNX model as this package ships it: readable names, our functions, opset and metadata."""

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
_EXPORTED_OPSET = 18  # what the PyTorch exporter writes
_IR_VERSION = 8  # the first with functions, which all runtimes of today read
_ONE_EXPORT = threading.Lock()  # the exporter, its logger's level and the warning filters belong to the process


def to_onnx(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    *,
    opset: int,
    dynamic_batch: bool,
    metadata: Mapping[str, str],
) -> ir.Model:
    """The graph of a lowered `network`, called with `inputs` in this order, whose results are named `outputs`.

    Raises ValueError for an opset other than 17 and 18.
    """
    if opset not in OPSETS:
        raise ValueError(f"opset is {opset}; expected 17 or 18")
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
    """Without the warnings of absent torchvision, of deprecations inside torch, and its advice on dimension names."""
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
    """Store weights in 16 bits, each behind a Cast to 32: half the file; runtimes fold the Cast when they load it.

    A tensor with weights beyond ±65504, which 16 bits cannot hold, stays in 32.
    """
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.size < 256:
            continue
        weights = tensor.numpy()
        if np.abs(weights).max() > np.finfo(np.float16).max:
            continue
        half = ir.Value(name=f"{name}.half", const_value=ir.tensor(weights.astype(np.float16)))
        cast = ir.node("Cast", [half], attributes={"to": ir.DataType.FLOAT}, name=f"{name}/Cast")
        ir.convenience.replace_all_uses_with(value, cast.outputs[0])
        del graph.initializers[name]
        cast.outputs[0].name = name
        graph.register_initializer(half)
        graph.insert_before(graph[0], cast)


def save(model: ir.Model, path: Path) -> None:
    """Write one file with the weights inside."""
    ir.save(model, path)


def _name_by_module(graph: ir.Graph) -> None:
    """Name nodes and values by the module they come from (`image_stages.3.5.conv2`), and drop the exporter's notes.

    The notes hold Python stack traces with the paths of the machine.
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
    # The first is the exporter's wrapper, whose attribute is called `network`; the last is the aten node itself.
    return [str(scope).removeprefix("network").removeprefix(".") for scope in scopes[:-1]]


def _to_opset_17(graph: ir.Graph) -> None:
    """Say in opset 17 what the exporter said in 18. Of the operators used here only the reductions differ in form."""
    for node in list(graph):
        if node.domain != "":
            continue
        if node.op_type in ("ReduceMean", "ReduceMax"):
            axes = node.inputs[1]
            if axes is None or axes.const_value is None:
                raise ModelFileError(
                    f"{node.name} has no constant axes and cannot be written in opset 17; use --opset 18"
                )
            node.attributes["axes"] = ir.AttrInt64s("axes", np.ravel(axes.const_value.numpy()).tolist())
            node.attributes.pop("noop_with_empty_axes", None)
            node.resize_inputs(1)
        elif node.op_type in ("Resize", "Pad", "Split"):
            # Same meaning as long as nothing that came with 18 is used.
            for attribute in ("antialias", "axes", "keep_aspect_ratio_policy", "num_outputs"):
                node.attributes.pop(attribute, None)
        elif defs.get_schema(node.op_type, 17).since_version != defs.get_schema(node.op_type, 18).since_version:
            raise ModelFileError(f"{node.op_type} ({node.name}) differs between opsets 17 and 18; use --opset 18")
    for name in [name for name, value in graph.initializers.items() if not value.uses()]:
        del graph.initializers[name]
