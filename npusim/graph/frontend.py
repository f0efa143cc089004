"""From openvino.Model to Graph: FP32 executed as FP16, compressed constants at their stored size, constants folded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from npusim.errors import UserError
from npusim.graph import subgraphs
from npusim.graph.attributes import ATTRIBUTES
from npusim.graph.coding import folded_coding, stored_coding
from npusim.graph.constants import constant_value, evaluate, with_widened_constants
from npusim.graph.grouped_queries import without_grouped_queries
from npusim.graph.ir import BITS, Graph, Op, Tensor

#: Floating types wider than what the NPU computes in.
_EXECUTED = {"f32": "f16", "f64": "f16", "bf16": "f16"}
#: Ops between stored weights and the MatMul that reads them.
_DECODING = frozenset({"Convert", "FakeQuantize", "Multiply", "Reshape", "Subtract"})
#: How many operands of an op its result is made of, where it is not the first alone.
_OPERANDS = {"MatMul": 2, "Convolution": 2, "GroupConvolution": 2, "ScaledDotProductAttention": 3}
#: Bytes that a tensor may have: no machine with one of these NPUs has more memory.
_MOST_BYTES = 128 << 30

#: Element types that no NPU compiler reads, and what is said of them.
_FOREIGN = {
    kind: f"weights are stored as {kind}, which the NPU compilers of today refuse: priced as if decoded to FP16"
    for kind in ("u1", "u3", "u6")
}


def _has_weights(node: Any) -> bool:
    """Whether a node is a MatMul by constant weights, however these are stored, or a product of two computed rows
    [1, K], which is a scale by one of them."""
    kind = node.get_type_name()
    weights = node.input_value(1).get_node() if kind in ("MatMul", "Multiply") else None
    if weights is not None and kind == "Multiply":
        shapes = {_static_shape(node.input_value(i), node) for i in (0, 1)}
        row = len(shapes) == 1 and all(len(shape) == 2 and shape[0] == 1 for shape in shapes)
        return row and weights.get_type_name() != "Constant"
    while weights is not None and weights.get_type_name() in _DECODING:
        weights = weights.input_value(0).get_node()
    return weights is not None and weights.get_type_name() == "Constant"


def _adds_to_product(node: Any) -> bool:
    """Whether a node is a sum whose first operand is a product with weights."""
    return node.get_type_name() == "Add" and _has_weights(node.input_value(0).get_node())


def _post_order(roots: Sequence[Any]) -> Iterator[Any]:
    """Ops so that producers precede consumers: depth first from the ``roots``, the last of them first, inputs in port
    order, as OpenVINO sorts a model before it is compiled. What is added to a product with weights comes before the
    product, whose bias the compiler takes it for at first.

    The order depends on the structure alone, not on the order in the file. A ReadValue gives back what an earlier
    inference stored: what it starts from is no part of this one.
    """
    seen: set[str] = set()
    for root in reversed(roots):
        stack = [(root, 0)]
        while stack:
            node, port = stack.pop()
            if port == 0:
                if node.get_name() in seen:
                    continue
                seen.add(node.get_name())
            if port < node.get_input_size() and node.get_type_name() != "ReadValue":
                stack.append((node, port + 1))
                source = node.input_value(1 - port if _adds_to_product(node) else port).get_node()
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


class Builder:
    """Walks a model and collects tensors and ops.

    ``scope`` goes before the names of what is added (the steps of a loop). Equal Constants are one tensor, however
    often the sub-graph that holds them is walked.
    """

    def __init__(self) -> None:
        """Nothing collected yet."""
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        self.inputs: list[int] = []
        self.states: list[int] = []
        self.notes: list[str] = []
        self.scope = ""
        self._constants: dict[str, int] = {}

    def add(self, node: Any, port: int, **fields: Any) -> int:
        """Add the tensor of one output of a node."""
        output = node.output(port)
        dtype = output.get_element_type().get_type_name()
        name = self.scope + node.get_friendly_name()
        if dtype not in BITS:
            raise UserError(
                f"op '{name}' ({node.get_type_name()}) makes elements of the type '{dtype}', whose size is not known: "
                "give the model's inputs a type of numbers, such as f16"
            )
        given = fields.pop("shape", None)
        shape = _static_shape(output, node) if given is None else given
        if prod(shape) * BITS[dtype] > 8 * _MOST_BYTES:
            raise UserError(
                f"'{name}' ({node.get_type_name()}) is of {list(shape)}, more than the {_MOST_BYTES >> 30} GiB of the "
                "largest memory beside such an NPU: give the model's inputs smaller sizes with --shape or --dim"
            )
        fields.setdefault("stored_dtype", dtype)
        id = self.add_tensor(
            name if node.get_output_size() == 1 else f"{name}.{port}", shape, dtype, **fields
        )
        if given is None and output.get_partial_shape().is_dynamic and not self.notes:
            self.notes.append(
                f"op '{name}' ({node.get_type_name()}) makes {output.get_partial_shape()}, which depends on data: "
                "taken at its largest, here and where it is read"
            )
        return id

    def add_tensor(self, name: str, shape: tuple[int, ...], dtype: str, **fields: Any) -> int:
        """Add a tensor of OpenVINO's type ``dtype``."""
        executed = _EXECUTED.get(dtype, dtype)
        self.tensors.append(Tensor(len(self.tensors), name, shape, executed, **fields))
        return len(self.tensors) - 1

    def walk(self, model: Any, parameters: list[int] | None = None) -> list[int]:
        """Add a model's ops; its parameters are graph inputs, or the tensors given. Returns its results' tensors, and
        behind those what the model stores for its next inference."""
        ids: dict[tuple[str, int], int] = {}
        order = {node.get_name(): i for i, node in enumerate(model.get_parameters())}
        roots = [*model.get_results(), *model.get_sinks()]
        found: dict[str, int] = {}
        for node in _post_order(roots):
            kind = node.get_type_name()
            if kind == "Parameter":
                if parameters is None:
                    ids[node.get_name(), 0] = self.add(node, 0)
                else:
                    ids[node.get_name(), 0] = parameters[order[node.get_name()]]
                continue
            if kind == "ReadValue":
                ids[node.get_name(), 0] = self.add(node, 0)
                self.states.append(ids[node.get_name(), 0])
                continue
            values = [node.input_value(i) for i in range(node.get_input_size())]
            sources = tuple(ids[v.get_node().get_name(), v.get_index()] for v in values)
            if kind in ("Result", "Assign"):
                found[node.get_name()] = sources[0]
            for port, id in enumerate(self.visit(node, kind, sources)):
                ids[node.get_name(), port] = id
        if parameters is None:
            self.inputs = [ids[n, 0] for n in order if (n, 0) in ids]
        return [found[node.get_name()] for node in roots if node.get_name() in found]

    def visit(self, node: Any, kind: str, sources: tuple[int, ...]) -> tuple[int, ...]:
        """Add one node; the tensors of its outputs."""
        ports = range(node.get_output_size())
        if kind in ("Result", "Assign"):
            return sources[:1]
        if kind == "Constant":
            return (self.constant(node),)
        inputs = [self.tensors[i] for i in sources]
        if kind == "ShapeOf":
            return (self.add(node, 0, constant=True, value=np.array(inputs[0].shape)),)
        if kind == "If":
            return subgraphs.branch(self, node, sources)
        if kind in ("Loop", "TensorIterator"):
            return subgraphs.unroll(self, node, sources)
        if inputs and all(t.constant for t in inputs):
            values = evaluate(node, [t.value for t in inputs])
            types = [node.get_output_element_type(p).get_type_name() for p in ports]
            coding = folded_coding(kind, inputs)
            return tuple(
                self.add(
                    node,
                    p,
                    constant=True,
                    value=values[p],
                    stored_dtype=_folded_dtype(node, inputs, types[p]),
                    coding=coding,
                )
                for p in ports
            )
        outputs = tuple(self.add(node, p) for p in ports)
        if not any(
            self.tensors[id].elements for id in outputs
        ):  # no work, and nothing that anybody could read
            for id in outputs:
                self.tensors[id] = replace(self.tensors[id], constant=True)
            return outputs
        kind, sources = self._full(node, kind, sources)
        wanted = ATTRIBUTES.get(kind, ())
        attributes = node.get_attributes() if wanted else {}
        attrs = {key: attributes[key] for key in wanted if key in attributes}
        self.ops.append(Op(self.scope + node.get_friendly_name(), kind, sources, outputs, attrs))
        return outputs

    def _full(self, node: Any, kind: str, sources: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """The type of an op and its operands, without those that a Concat has of no elements (a cache that holds no
        token yet). Raises UserError where there is nothing to make a result of."""
        empty = [id for id in sources if not self.tensors[id].elements]
        if kind == "Concat":
            left = tuple(id for id in sources if id not in empty)
            return ("Concat" if len(left) > 1 else "Identity"), left
        data = sources[: _OPERANDS.get(kind, 1)]
        none = next((self.tensors[id] for id in data if id in empty), None)
        if none is not None:
            name = self.scope + node.get_friendly_name()
            raise UserError(
                f"op '{name}' ({kind}) has nothing to make its result of: '{none.name}' is of {list(none.shape)}: "
                "give the model's inputs other sizes with --shape or --dim"
            )
        return kind, sources

    def constant(self, node: Any) -> int:
        """The tensor of a Constant."""
        name = node.get_name()
        if name not in self._constants:
            scope, self.scope = self.scope, ""
            kind = node.get_output_element_type(0).get_type_name()
            if kind in _FOREIGN and _FOREIGN[kind] not in self.notes:
                self.notes.append(_FOREIGN[kind])
            value, coding = constant_value(node), stored_coding(node)
            self._constants[name] = self.add(node, 0, constant=True, value=value, coding=coding)
            self.scope = scope
        return self._constants[name]


def _read(ops: Sequence[Op], outputs: Iterable[int]) -> tuple[Op, ...]:
    """Those of ``ops``, in order, whose results go into ``outputs``: not what nothing but the shape was asked of."""
    wanted, kept = set(outputs), []
    for op in reversed(ops):
        if not wanted.isdisjoint(op.outputs):
            wanted.update(op.inputs)
            kept.append(op)
    return tuple(reversed(kept))


def from_openvino(model: Any, name: str = "") -> Graph:
    """The Graph of an openvino.Model.

    Raises UserError for a shape without a bound and for control flow that depends on the input. Types: see Tensor.
    Sub-graphs of constants become one constant. What the model remembers from one inference to the next is read like
    an input and written like an output (so the compiler treats it, whatever it starts from).
    """
    build = Builder()
    outputs = build.walk(with_widened_constants(without_grouped_queries(model)))
    return Graph(
        name=name or model.get_friendly_name(),
        tensors=tuple(build.tensors),
        ops=_read(build.ops, outputs),
        inputs=(*build.inputs, *build.states),
        outputs=tuple(outputs),
        notes=tuple(build.notes),
    )
