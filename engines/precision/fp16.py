"""FP32 ONNX -> the same network computing in float16, with float32 fp32_regions: precision stands in the file.

TensorRT 11 takes each tensor's type from the file and has no flag that would change it; so does every other runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx import defs

from ...runtime.errors import ModelFileError
from ...runtime.files.atomic import replacing
from ...runtime.files.onnx_file import PRECISION, OnnxFile
from .flops import half_share
from .fp32_rules import DEFAULT, Fp32Rules, FunctionRule
from .range_probe import RangeReport

HALF_MAX = float(np.finfo(np.float16).max)  # 65504
_NAMED = 5  # tensors in a message
_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16)


@dataclass(frozen=True, kw_only=True)
class HalfReport:
    """What became of a file.

    half_share: the share of the FLOPs of convolutions and matrix products in half, 0 to 1.
    fp32_regions: rule, or the probe's reason -> the nodes that compute in float32 because of it.
    clipped: initializer -> how many of its weights were beyond ±65504 and are cut off there.
    """

    path: Path
    half_share: float
    fp32_regions: dict[str, tuple[str, ...]]
    clipped: dict[str, int]


def convert_to_fp16(
    source: Path,
    target: Path,
    *,
    fp32_regions: Fp32Rules = DEFAULT,
    probe: RangeReport | None = None,
    allow_clipping: bool = False,
) -> HalfReport:
    """Write `target`: `source` with its nodes computing in float16, but those that `fp32_regions` or `probe` name.

    Inputs and outputs keep their types: casts stand at the border. Raises ModelFileError for a file that is not ours,
    not in float32, has tensors without a type, or weights beyond ±65504 that would compute in float16, unless
    `allow_clipping`; OutputError if `target` cannot be written.
    """
    file = OnnxFile.read(source)
    if file.precision != "fp32":
        raise ModelFileError(
            f"{source} is {file.precision!r}; expected 'fp32'; export it again with: export-onnx {file.model}"
        )
    model = ir.load(source)
    _type_casts(model.graph)
    untyped = next((value.name for node in model.graph for value in node.outputs if value.dtype is None), None)
    if untyped is not None:
        raise ModelFileError(
            f"{source} does not say the type of {untyped!r}; expected types for all tensors, as export-onnx writes them"
        )
    found = fp32_regions.find(model.graph)
    if probe is not None:
        by_name = {str(node.name): node for node in model.graph}
        for region in probe.fp32_regions:
            if not by_name.keys() >= set(region.nodes):
                raise ModelFileError(f"{source} has no {region.nodes}; expected the file that the ranges are of")
            found = {by_name[name]: region.reason for name in region.nodes} | found
    types = _Types(model)
    types.assign(found, fp32_regions)
    if types.clipped and not allow_clipping:
        raise ModelFileError(
            f"{source} has {weights_by_tensor(types.clipped)} beyond ±65504, the range of FP16; expected none. Fix: "
            f"build it in FP32, without --fp16, or clip them: build-engine {source.name} --fp16 --allow-clipping"
        )
    for function in model.functions.values():
        rule = next((rule for rule in fp32_regions.functions if rule.name == function.name), None)
        if rule is not None:
            _widen(function, rule)
    model.metadata_props[PRECISION] = "fp16"
    with replacing(target) as temporary:
        ir.save(model, temporary)
    named: dict[str, list[str]] = {}
    for node in model.graph:
        if node in found:
            named.setdefault(found[node], []).append(str(node.name))
    return HalfReport(
        path=target,
        half_share=half_share(target),
        fp32_regions={reason: tuple(nodes) for reason, nodes in named.items()},
        clipped=types.clipped,
    )


def weights_by_tensor(clipped: Mapping[str, int]) -> str:
    """`3 weights (a.weight 2, b.bias 1)`: tensors with many first."""
    order = sorted(clipped, key=lambda name: -clipped[name])
    names = [f"{name} {clipped[name]}" for name in order[:_NAMED]]
    if len(order) > _NAMED:
        names.append(f"{len(order) - _NAMED} more tensors")
    count = sum(clipped.values())
    return f"{count} weight{'s' if count > 1 else ''} ({', '.join(names)})"


class _Types:
    """Gives each tensor of a graph its type, and casts where two meet; each tensor is cast once at most."""

    def __init__(self, model: ir.Model) -> None:
        self._graph = model.graph
        self._opset = model.opset_imports[""]
        self._parameters = {f.name: [str(value.name) for value in f.inputs] for f in model.functions.values()}
        self._cast: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}
        self.clipped: dict[str, int] = {}

    def assign(self, full: dict[ir.Node, str], fp32_regions: Fp32Rules) -> None:
        for node in list(self._graph):
            # A cast says its type itself, and what makes numbers out of none (Constant) makes float32.
            if node.op_type == "Cast" or not any(value is not None and value.dtype in _FLOATS for value in node.inputs):
                continue
            halved = [] if node in full else self._able(node, fp32_regions.function(node))
            for index, value in enumerate(node.inputs):
                if value is not None and value.dtype in _FLOATS:
                    wanted = ir.DataType.FLOAT16 if index in halved else ir.DataType.FLOAT
                    node.replace_input_with(index, self._as(value, wanted))
            if halved:
                for value in node.outputs:
                    if value.dtype == ir.DataType.FLOAT:
                        value.dtype = ir.DataType.FLOAT16
        for index, value in enumerate(self._graph.outputs):
            if value.dtype == ir.DataType.FLOAT16:
                name, value.name = value.name, f"{value.name}/half"
                self._graph.outputs[index] = self._as(value, ir.DataType.FLOAT)
                self._graph.outputs[index].name = name
        for node in list(self._graph):
            if node.op_type == "Cast" and not node.outputs[0].uses() and not node.outputs[0].is_graph_output():
                self._graph.remove(node, safe=True)
        for name in [name for name, value in self._graph.initializers.items() if not value.uses()]:
            del self._graph.initializers[name]

    def _as(self, value: ir.Value, wanted: ir.DataType) -> ir.Value:
        producer = value.producer()
        if value.dtype == wanted:
            return value
        if producer is not None and producer.op_type == "Cast":
            source = producer.inputs[0]
            assert source is not None
            if source.dtype == wanted:  # there and back; weights that are stored in half already
                return source
        if (value, wanted) not in self._cast:
            made = self._initializer(value) if value.is_initializer() else self._node(value, wanted)
            self._cast[value, wanted] = made
        return self._cast[value, wanted]

    def _initializer(self, value: ir.Value) -> ir.Value:
        """A copy in half of an initializer in float32."""
        assert value.const_value is not None
        weights = value.const_value.numpy()
        beyond = int(np.count_nonzero(np.abs(weights) > HALF_MAX))
        if beyond:
            self.clipped[str(value.name)] = beyond
        half = np.clip(weights, -HALF_MAX, HALF_MAX).astype(np.float16)
        made = ir.Value(name=f"{value.name}/half", const_value=ir.tensor(half))
        made.dtype, made.shape = ir.DataType.FLOAT16, ir.Shape(half.shape)
        self._graph.register_initializer(made)
        return made

    def _node(self, value: ir.Value, wanted: ir.DataType) -> ir.Value:
        name = f"{value.name}/{'half' if wanted == ir.DataType.FLOAT16 else 'float'}"
        cast = ir.node("Cast", [value], attributes={"to": wanted}, name=f"{name}/Cast")
        made = cast.outputs[0]
        made.name, made.dtype, made.shape = name, wanted, value.shape
        producer = value.producer()
        if producer is None:
            self._graph.insert_before(self._graph[0], cast)
        else:
            self._graph.insert_after(producer, cast)
        return made

    def _able(self, node: ir.Node, rule: FunctionRule | None) -> list[int]:
        """The inputs of `node` that can be half: those whose type is the operator's to choose."""
        if rule is not None:
            parameters = self._parameters[node.op_type]
            return [index for index, name in enumerate(parameters) if name not in rule.full]
        schema = defs.get_schema(node.op_type, self._opset)
        able = {c.type_param_str for c in schema.type_constraints if "tensor(float16)" in c.allowed_type_strs}
        last = len(schema.inputs) - 1  # of Concat, which has one formal input for all
        return [index for index in range(len(node.inputs)) if schema.inputs[min(index, last)].type_str in able]


def _type_casts(graph: ir.Graph) -> None:
    """Say the type of casts that say none: those behind weights which export-onnx stored in half."""
    for node in graph:
        if node.op_type == "Cast" and node.outputs[0].dtype is None:
            source = node.inputs[0]
            assert source is not None
            node.outputs[0].dtype = ir.DataType(node.attributes["to"].as_int())
            node.outputs[0].shape = source.shape


def _widen(function: ir.Function, rule: FunctionRule) -> None:
    """Casts in the body of `function`, to float32 and back to the type of its first input, where `rule` wants them."""
    values = {value.name: value for node in function for value in node.outputs}
    for parameter in function.inputs:
        if parameter.name in rule.widened:
            cast = ir.node("Cast", [parameter], attributes={"to": ir.DataType.FLOAT})
            cast.outputs[0].name = f"{parameter.name}_wide"
            for user, index in list(parameter.uses()):
                if user is not cast:
                    user.replace_input_with(index, cast.outputs[0])
            function.insert_before(function[0], cast)
    for name in rule.narrowed:
        value = values[name]
        producer = value.producer()
        assert producer is not None
        cast = ir.node("CastLike", [value, function.inputs[0]])
        narrow = cast.outputs[0]
        for user, index in list(value.uses()):
            if user is not cast:
                user.replace_input_with(index, narrow)
        function.insert_after(producer, cast)
        value.name, narrow.name = f"{name}_wide", name
        if value in function.outputs:
            function.outputs[list(function.outputs).index(value)] = narrow
