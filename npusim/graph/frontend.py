"""From openvino.Model to Graph: FP32 executed as FP16, compressed constants at their stored size, constants folded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from npusim.errors import UserError
from npusim.graph.constants import constant_value, evaluate
from npusim.graph.ir import Graph, Op, Tensor

#: Floating types wider than what the NPU computes in.
_EXECUTED = {"f32": "f16", "f64": "f16", "bf16": "f16"}
#: Ops that only name a value.
_TRANSPARENT = {"Result"}
#: Attributes that lowering reads, by op type.
_ATTRIBUTES = {
    "AvgPool": ("strides", "pads_begin", "pads_end", "kernel"),
    "Clamp": ("min", "max"),
    "Convolution": ("strides", "pads_begin", "pads_end", "dilations"),
    "ConvolutionBackpropData": ("strides", "pads_begin", "pads_end", "dilations"),
    "CumSum": ("exclusive", "reverse"),
    "Concat": ("axis",),
    "Convert": ("destination_type",),
    "Einsum": ("equation",),
    "FakeQuantize": ("levels",),
    "Gather": ("batch_dims",),
    "GroupConvolution": ("strides", "pads_begin", "pads_end", "dilations"),
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
    "SoftMax": ("axis",),
    "Softmax": ("axis",),
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
    shape = output.get_partial_shape()
    if not shape.is_static:
        raise UserError(
            f"op '{node.get_friendly_name()}' ({node.get_type_name()}) has the dynamic shape {shape}: "
            "give the inputs static shapes with --shape NAME=[1,256]"
        )
    return tuple(shape.to_shape())


class _Builder:
    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.ids: dict[tuple[str, int], int] = {}

    def add(self, node: Any, port: int, **fields: Any) -> int:
        output = node.output(port)
        dtype = output.get_element_type().get_type_name()
        executed = _EXECUTED.get(dtype, dtype)
        name = node.get_friendly_name()
        tensor = Tensor(
            id=len(self.tensors),
            name=name if node.get_output_size() == 1 else f"{name}.{port}",
            shape=_static_shape(output, node),
            dtype=executed,
            stored_dtype=fields.pop("stored_dtype", dtype),
            **fields,
        )
        self.tensors.append(tensor)
        self.ids[node.get_name(), port] = tensor.id
        return tensor.id

    def inputs(self, node: Any) -> tuple[int, ...]:
        return tuple(
            self.ids[source.get_node().get_name(), source.get_index()]
            for source in (node.input_value(i) for i in range(node.get_input_size()))
        )


def _folded_dtype(inputs: list[Tensor], dtype: str) -> str:
    """Stored type of what a constant op makes: that of its largest input (a decompression keeps 8 or 4 bits)."""
    largest = max(inputs, key=lambda t: t.elements, default=None)
    return largest.stored_dtype if largest is not None else dtype


def from_openvino(model: Any, name: str = "") -> Graph:
    """The Graph of an openvino.Model.

    Raises UserError for a dynamic shape. Types: see Tensor. Sub-graphs of constants become one constant.
    """
    build = _Builder()
    ops: list[Op] = []
    inputs: list[int] = []
    outputs: list[int] = []
    for node in _post_order(model):
        kind = node.get_type_name()
        if kind == "Parameter":
            inputs.append(build.add(node, 0))
            continue
        if kind == "Constant":
            build.add(node, 0, constant=True, value=constant_value(node))
            continue
        ids = build.inputs(node)
        if kind in _TRANSPARENT:
            outputs.extend(ids)
            continue
        sources = [build.tensors[i] for i in ids]
        if kind == "ShapeOf":
            build.add(node, 0, constant=True, value=np.array(sources[0].shape))
            continue
        if all(t.constant for t in sources):
            values = evaluate(node, [t.value for t in sources])
            for port, value in enumerate(values):
                dtype = node.get_output_element_type(port).get_type_name()
                build.add(node, port, constant=True, value=value, stored_dtype=_folded_dtype(sources, dtype))
            continue
        wanted = _ATTRIBUTES.get(kind, ())
        attributes = node.get_attributes() if wanted else {}
        ops.append(
            Op(
                name=node.get_friendly_name(),
                type=kind,
                inputs=ids,
                outputs=tuple(build.add(node, port) for port in range(node.get_output_size())),
                attrs={key: attributes[key] for key in wanted if key in attributes},
            )
        )
    return Graph(
        name=name or model.get_friendly_name(),
        tensors=tuple(build.tensors),
        ops=tuple(ops),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
    )
