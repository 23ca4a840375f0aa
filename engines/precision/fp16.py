"""Convert an FP32 ONNX file to FP16, with sensitive operators kept in FP32.

TensorRT 11 and the other runtimes take the type of each tensor from the file; no build flag changes it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx import defs

from ...runtime.errors import ModelFileError
from ...runtime.files.atomic import replacing
from ...runtime.files.onnx_file import PRECISION, OnnxFile
from .fp32_rules import DEFAULT, Fp32Rules, FunctionRule
from .range_probe import RangeReport

FP16_MAX = float(np.finfo(np.float16).max)  # 65504
_LISTED = 5  # tensors in a message
_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16)


@dataclass(frozen=True, kw_only=True)
class Fp16Report:
    """Result of a conversion to FP16.

    fp32_nodes: name of a rule, or reason of the range probe -> nodes that stay FP32 because of it.
    clipped: initializer -> number of its weights clipped to ±65504.
    """

    path: Path
    fp32_nodes: dict[str, tuple[str, ...]]
    clipped: dict[str, int]


def convert_to_fp16(
    source: Path,
    target: Path,
    *,
    rules: Fp32Rules = DEFAULT,
    probe: RangeReport | None = None,
    allow_clipping: bool = False,
) -> Fp16Report:
    """Write `target`: the FP32 file `source` in FP16, except for nodes that `rules` or `probe` keep in FP32.

    Inputs and outputs keep their types; casts are inserted where types meet. Raises ModelFileError if `source` is not a
    file of export-onnx, is not FP32, has tensors without a type, or, without `allow_clipping`, weights beyond ±65504 in
    FP16 nodes. Raises OutputError if `target` cannot be written.
    """
    file = OnnxFile.read(source)
    if file.precision != "fp32":
        raise ModelFileError(
            f"{source} cannot be converted to FP16: got precision {file.precision!r}, expected 'fp32'. Fix: "
            f"export-onnx {file.model}"
        )
    model = ir.load(source)
    _type_casts(model.graph)
    untyped = next((value.name for node in model.graph for value in node.outputs if value.dtype is None), None)
    if untyped is not None:
        raise ModelFileError(
            f"{source} cannot be converted to FP16: the tensor {untyped!r} has no type, expected types of all tensors. "
            f"Fix: export-onnx {file.model}"
        )
    found = rules.find(model.graph)
    if probe is not None:
        by_name = {str(node.name): node for node in model.graph}
        for region in probe.fp32_regions:
            if not by_name.keys() >= set(region.nodes):
                raise ModelFileError(f"the ranges are of another file than {source}: it has no nodes {region.nodes}")
            found = {by_name[name]: region.reason for name in region.nodes} | found
    types = _Types(model)
    types.assign(found, rules)
    if types.clipped and not allow_clipping:
        raise ModelFileError(
            f"{source} has {weights_by_tensor(types.clipped)} beyond ±65504, the range of FP16; expected none. Fix: "
            f"build in FP32, without --fp16, or clip them: build-engine {source.name} --fp16 --allow-clipping"
        )
    for function in model.functions.values():
        rule = next((rule for rule in rules.functions if rule.name == function.name), None)
        if rule is not None:
            _widen(function, rule)
    model.metadata_props[PRECISION] = "fp16"
    with replacing(target) as temporary:
        ir.save(model, temporary)
    fp32_nodes: dict[str, list[str]] = {}
    for node in model.graph:
        if node in found:
            fp32_nodes.setdefault(found[node], []).append(str(node.name))
    return Fp16Report(
        path=target,
        fp32_nodes={reason: tuple(names) for reason, names in fp32_nodes.items()},
        clipped=types.clipped,
    )


def weights_by_tensor(clipped: Mapping[str, int]) -> str:
    """Format the counts, largest first: `3 weights (a.weight 2, b.bias 1)`."""
    order = sorted(clipped, key=lambda name: -clipped[name])
    names = [f"{name} {clipped[name]}" for name in order[:_LISTED]]
    if len(order) > _LISTED:
        names.append(f"{len(order) - _LISTED} more tensors")
    count = sum(clipped.values())
    return f"{count} weight{'s' if count > 1 else ''} ({', '.join(names)})"


class _Types:
    """Assigns FP16 or FP32 to each tensor of a graph and inserts casts, at most one for each tensor and type."""

    def __init__(self, model: ir.Model) -> None:
        self._graph = model.graph
        self._opset = model.opset_imports[""]
        self._parameters = {f.name: [str(value.name) for value in f.inputs] for f in model.functions.values()}
        self._cast: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}
        self.clipped: dict[str, int] = {}

    def assign(self, fp32_nodes: Collection[ir.Node], rules: Fp32Rules) -> None:
        for node in list(self._graph):
            # A Cast defines its own type; nodes without FP32 or FP16 inputs (Constant) produce FP32.
            if node.op_type == "Cast" or not any(value is not None and value.dtype in _FLOATS for value in node.inputs):
                continue
            in_fp16 = [] if node in fp32_nodes else self._fp16_inputs(node, rules.function(node))
            for index, value in enumerate(node.inputs):
                if value is not None and value.dtype in _FLOATS:
                    wanted = ir.DataType.FLOAT16 if index in in_fp16 else ir.DataType.FLOAT
                    node.replace_input_with(index, self._as(value, wanted))
            if in_fp16:
                for value in node.outputs:
                    if value.dtype == ir.DataType.FLOAT:
                        value.dtype = ir.DataType.FLOAT16
        for index, value in enumerate(self._graph.outputs):
            if value.dtype == ir.DataType.FLOAT16:
                name, value.name = value.name, f"{value.name}/fp16"
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
            if source.dtype == wanted:  # a cast and back, or weights stored in FP16
                return source
        if (value, wanted) not in self._cast:
            made = self._fp16_copy(value) if value.is_initializer() else self._cast_node(value, wanted)
            self._cast[value, wanted] = made
        return self._cast[value, wanted]

    def _fp16_copy(self, value: ir.Value) -> ir.Value:
        """Add an FP16 copy of an FP32 initializer, clipped to ±65504."""
        assert value.const_value is not None
        weights = value.const_value.numpy()
        beyond = int(np.count_nonzero(np.abs(weights) > FP16_MAX))
        if beyond:
            self.clipped[str(value.name)] = beyond
        clipped = np.clip(weights, -FP16_MAX, FP16_MAX).astype(np.float16)
        made = ir.Value(name=f"{value.name}/fp16", const_value=ir.tensor(clipped))
        made.dtype, made.shape = ir.DataType.FLOAT16, ir.Shape(clipped.shape)
        self._graph.register_initializer(made)
        return made

    def _cast_node(self, value: ir.Value, wanted: ir.DataType) -> ir.Value:
        name = f"{value.name}/{'fp16' if wanted == ir.DataType.FLOAT16 else 'fp32'}"
        cast = ir.node("Cast", [value], attributes={"to": wanted}, name=f"{name}/Cast")
        made = cast.outputs[0]
        made.name, made.dtype, made.shape = name, wanted, value.shape
        producer = value.producer()
        if producer is None:
            self._graph.insert_before(self._graph[0], cast)
        else:
            self._graph.insert_after(producer, cast)
        return made

    def _fp16_inputs(self, node: ir.Node, rule: FunctionRule | None) -> list[int]:
        """Return the indices of the inputs of `node` that may be FP16, by its schema or the rule of its function."""
        if rule is not None:
            parameters = self._parameters[node.op_type]
            return [index for index, name in enumerate(parameters) if name not in rule.fp32_inputs]
        schema = defs.get_schema(node.op_type, self._opset)
        allowed = {c.type_param_str for c in schema.type_constraints if "tensor(float16)" in c.allowed_type_strs}
        last = len(schema.inputs) - 1  # variadic operators (Concat) have one formal input
        return [index for index in range(len(node.inputs)) if schema.inputs[min(index, last)].type_str in allowed]


def _type_casts(graph: ir.Graph) -> None:
    """Set the missing output types of casts: those after weights that export-onnx stored in FP16."""
    for node in graph:
        if node.op_type == "Cast" and node.outputs[0].dtype is None:
            source = node.inputs[0]
            assert source is not None
            node.outputs[0].dtype = ir.DataType(node.attributes["to"].as_int())
            node.outputs[0].shape = source.shape


def _widen(function: ir.Function, rule: FunctionRule) -> None:
    """Insert casts into the body of `function`: to FP32, and back to the type of its first input, as `rule` defines."""
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
