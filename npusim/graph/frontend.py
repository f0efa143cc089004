"""From openvino.Model to Graph: FP32 executed as FP16, compressed constants at their stored size, constants folded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from npusim.errors import UserError
from npusim.graph.constants import constant_value, evaluate, with_widened_constants
from npusim.graph.ir import BITS, Graph, Op, Tensor

#: Floating types wider than what the NPU computes in.
_EXECUTED = {"f32": "f16", "f64": "f16", "bf16": "f16"}
#: Attributes that lowering reads, by op type.
_ATTRIBUTES = {
    "Interpolate": ("mode",),
    "AvgPool": ("strides", "pads_begin", "pads_end", "kernel"),
    "Clamp": ("min", "max"),
    "Convolution": ("strides", "pads_begin", "pads_end", "dilations"),
    "ConvolutionBackpropData": ("strides", "pads_begin", "pads_end", "dilations"),
    "CumSum": ("exclusive", "reverse"),
    "Concat": ("axis",),
    "Convert": ("destination_type",),
    "DepthToSpace": ("block_size", "mode"),
    "DetectionOutput": ("num_classes", "share_location"),
    "Einsum": ("equation",),
    "FakeQuantize": ("levels",),
    "Gather": ("batch_dims",),
    "GroupConvolution": ("strides", "pads_begin", "pads_end", "dilations"),
    "GroupConvolutionBackpropData": ("strides", "pads_begin", "pads_end", "dilations"),
    "GroupNormalization": ("num_groups",),
    "LogSoftmax": ("axis",),
    "MVN": ("normalize_variance", "eps"),
    "MatMul": ("transpose_a", "transpose_b"),
    "MaxPool": ("strides", "pads_begin", "pads_end", "kernel"),
    "Pad": ("pad_mode",),
    "ReduceMax": ("keep_dims",),
    "ReduceMean": ("keep_dims",),
    "ReduceMin": ("keep_dims",),
    "ReduceSum": ("keep_dims",),
    "ScaledDotProductAttention": ("causal",),
    "ShuffleChannels": ("axis", "group"),
    "SoftMax": ("axis",),
    "Softmax": ("axis",),
    "SpaceToDepth": ("block_size", "mode"),
    "StridedSlice": ("begin_mask", "end_mask", "shrink_axis_mask", "new_axis_mask", "ellipsis_mask"),
}


def _post_order(model: Any) -> Iterator[Any]:
    """Ops so that producers precede consumers: depth first from the results, inputs in port order.

    The order depends on the structure alone, not on the order in the file.
    """
    seen: set[str] = set()
    for result in model.get_results():
        stack = [(result, 0)]
        while stack:
            node, port = stack.pop()
            if port == 0:
                if node.get_name() in seen:
                    continue
                seen.add(node.get_name())
            if port < node.get_input_size():
                stack.append((node, port + 1))
                source = node.input_value(port).get_node()
                if source.get_name() not in seen:
                    stack.append((source, 0))
            else:
                yield node


def _static_shape(output: Any, node: Any) -> tuple[int, ...]:
    """The shape, at its largest where it depends on data (the boxes that a NonMaxSuppression keeps): the compiler
    reserves so much, and its kernels run over it."""
    shape = output.get_partial_shape()
    if shape.rank.is_dynamic or any(dim.get_max_length() < 0 for dim in shape):
        raise UserError(
            f"op '{node.get_friendly_name()}' ({node.get_type_name()}) has the dynamic shape {shape}: give the inputs "
            "static shapes with --shape NAME=[1,256]; if they have them, this shape depends on data, so cut the model "
            "before it"
        )
    return tuple(dim.get_max_length() for dim in shape)


def _folded_dtype(node: Any, inputs: list[Tensor], dtype: str) -> str:
    """Stored type of what a constant op makes: that of its largest input (a decompression keeps 8 or 4 bits), and of
    weights behind a FakeQuantize or FakeConvert the one that a compiler stores them in."""
    largest = max(inputs, key=lambda t: t.elements, default=None)
    stored = largest.stored_dtype if largest is not None else dtype
    if node.get_type_name() == "FakeConvert":
        return min(stored, str(node.get_attributes()["destination_type"]), key=BITS.__getitem__)
    if node.get_type_name() == "FakeQuantize":
        levels = int(node.get_attributes()["levels"])
        quantised = "u4" if levels <= 16 else "u8" if levels <= 256 else stored
        return min(stored, quantised, key=BITS.__getitem__)
    return stored


class _Builder:
    """Walks a model and collects tensors and ops. ``ids`` maps (node name, port) to a tensor id."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        self.inputs: list[int] = []
        self.notes: list[str] = []

    def add(self, node: Any, port: int, **fields: Any) -> int:
        output = node.output(port)
        dtype = output.get_element_type().get_type_name()
        name = node.get_friendly_name()
        tensor = Tensor(
            id=len(self.tensors),
            name=name if node.get_output_size() == 1 else f"{name}.{port}",
            shape=_static_shape(output, node),
            dtype=_EXECUTED.get(dtype, dtype),
            stored_dtype=fields.pop("stored_dtype", dtype),
            **fields,
        )
        if output.get_partial_shape().is_dynamic and not self.notes:
            self.notes.append(
                f"op '{name}' ({node.get_type_name()}) makes {output.get_partial_shape()}, which depends on data: "
                "taken at its largest, here and where it is read"
            )
        self.tensors.append(tensor)
        return tensor.id

    def walk(self, model: Any, parameters: list[int] | None = None) -> list[int]:
        """Add a model's ops; its parameters are graph inputs, or the tensors given. Returns its results' tensors."""
        ids: dict[tuple[str, int], int] = {}
        results: list[int] = []
        order = {node.get_name(): i for i, node in enumerate(model.get_parameters())}
        for node in _post_order(model):
            kind = node.get_type_name()
            if kind == "Parameter":
                if parameters is None:
                    ids[node.get_name(), 0] = self.add(node, 0)
                else:
                    ids[node.get_name(), 0] = parameters[order[node.get_name()]]
                continue
            values = [node.input_value(i) for i in range(node.get_input_size())]
            sources = tuple(ids[v.get_node().get_name(), v.get_index()] for v in values)
            if kind == "Result":
                results.extend(sources)
                continue
            for port, id in enumerate(self.visit(node, kind, sources)):
                ids[node.get_name(), port] = id
        if parameters is None:
            self.inputs = [ids[n, 0] for n in order if (n, 0) in ids]
        return results

    def visit(self, node: Any, kind: str, sources: tuple[int, ...]) -> tuple[int, ...]:
        """Add one node; the tensors of its outputs."""
        ports = range(node.get_output_size())
        if kind == "Constant":
            return (self.add(node, 0, constant=True, value=constant_value(node)),)
        inputs = [self.tensors[i] for i in sources]
        if kind == "ShapeOf":
            return (self.add(node, 0, constant=True, value=np.array(inputs[0].shape)),)
        if kind == "If":
            return self.branch(node, sources)
        if all(t.constant for t in inputs):
            values = evaluate(node, [t.value for t in inputs])
            types = [node.get_output_element_type(p).get_type_name() for p in ports]
            return tuple(
                self.add(
                    node,
                    p,
                    constant=True,
                    value=values[p],
                    stored_dtype=_folded_dtype(node, inputs, types[p]),
                )
                for p in ports
            )
        wanted = _ATTRIBUTES.get(kind, ())
        attributes = node.get_attributes() if wanted else {}
        outputs = tuple(self.add(node, p) for p in ports)
        attrs = {key: attributes[key] for key in wanted if key in attributes}
        self.ops.append(Op(node.get_friendly_name(), kind, sources, outputs, attrs))
        return outputs

    def branch(self, node: Any, sources: tuple[int, ...]) -> tuple[int, ...]:
        """The branch of an If that its constant condition selects, in place of the If."""
        condition = self.tensors[sources[0]].value
        if condition is None:
            raise UserError(
                f"op '{node.get_friendly_name()}' (If) has a condition that depends on the input: "
                "npusim needs one schedule for all inputs"
            )
        body = 0 if bool(np.all(condition)) else 1
        model = node.get_function(body)
        parameters = [-1] * len(model.get_parameters())
        for description in node.get_input_descriptions(body):
            parameters[description.body_parameter_index] = sources[description.input_index]
        results = self.walk(model, parameters)
        picked = {d.output_index: results[d.body_value_index] for d in node.get_output_descriptions(body)}
        return tuple(picked[p] for p in range(node.get_output_size()))


def from_openvino(model: Any, name: str = "") -> Graph:
    """The Graph of an openvino.Model.

    Raises UserError for a shape without a bound and for control flow that depends on the input. Types: see Tensor.
    Sub-graphs of constants become one constant.
    """
    build = _Builder()
    outputs = build.walk(with_widened_constants(model))
    return Graph(
        name=name or model.get_friendly_name(),
        tensors=tuple(build.tensors),
        ops=tuple(build.ops),
        inputs=tuple(build.inputs),
        outputs=tuple(outputs),
        notes=tuple(build.notes),
    )
