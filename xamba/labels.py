"""Heads of an attention, followed through a model: which index of which axis of which value belongs to which head.

Every index along the axis that carries heads has a label, the head (or group of heads that share keys) that it belongs
to. From the attention on, labels are followed up and down through whatever leaves heads apart: products of two
activations, changes of shape and order, concatenations with a past, splits, sums and products, norms of single heads.
They end at products with weights, whose rows or columns go; at inputs and states of the model, which get narrower; and
at outputs that hand a cache on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import gcd, prod

import numpy as np
from numpy.typing import NDArray
from openvino import Input, Node, Output, PartialShape

from npusim.xamba.channels import ALONE, PAIRS, constant_of
from npusim.xamba.maker import constant_integers
from npusim.xamba.rule import Skip
from npusim.xamba.weights import Weights, weights_of

Labels = NDArray[np.int64]
#: Ops whose result is the softmax of scores, or all of the attention.
ROOTS = ("ScaledDotProductAttention", "Softmax")
_PER_HEAD = frozenset({"Softmax", "MVN", "NormalizeL2", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"})
#: Stands for a length that is not known: no other length is a multiple of it.
_DYNAMIC = 10007
_PARTS = frozenset({"Slice", "StridedSlice"})
_SPLITS = frozenset({"Split", "VariadicSplit"})


class _Shared(Exception):
    """So many heads share keys, and go together."""

    def __init__(self, heads: int) -> None:
        self.heads = heads


@dataclass
class Attention:
    """One attention: ``groups`` of its ``heads``; where labels lie in each value (``seen``: axis and labels); the
    ``producers`` whose outputs carry them; constants, inputs and states that do (``carried``, ``inputs``, ``states``);
    ops with the lengths of their results as operands (``shapes``), and the labels of the parts of ``splits``."""

    heads: int
    groups: int
    seen: dict[tuple[str, int], tuple[Output, int, Labels]] = field(default_factory=dict)
    producers: dict[str, tuple[Node, Weights, Labels]] = field(default_factory=dict)
    carried: dict[tuple[str, int], tuple[Input, int, Labels]] = field(default_factory=dict)
    states: dict[str, tuple[int, Labels, PartialShape]] = field(default_factory=dict)
    inputs: list[tuple[Node, int, Labels]] = field(default_factory=list)
    shapes: list[tuple[Node, Output]] = field(default_factory=list)
    splits: dict[str, tuple[Node, list[Labels | None]]] = field(default_factory=dict)


def attention_of(node: Node) -> Attention | None:
    """The attention that a node is the root of; None where it is none. Raises Skip where its heads cannot go."""
    shape = node.get_output_partial_shape(0)
    if shape.rank.is_dynamic or shape.rank.get_length() != 4 or shape[1].is_dynamic:
        return None
    heads, together = shape[1].get_length(), 1
    while True:
        found = Attention(heads, heads // together)
        if found.groups < 2:
            raise Skip("its heads all share keys" if heads > 1 else "it has one head")
        try:
            _visit(found, node.output(0), 1, np.arange(heads) // together, after=True)
        except _Shared as shared:
            together *= shared.heads
            continue
        whole = all(part is not None for _, parts in found.splits.values() for part in parts)
        if not whole or not found.producers:
            raise Skip("its heads come from no product by themselves")
        return found


# -- the walk ---------------------------------------------------------------------------------------------------------


def _visit(found: Attention, value: Output, axis: int, labels: Labels, after: bool = False) -> None:
    """Follow a value with ``labels`` along an axis, up to who makes it and down to who reads it; ``after``: it is made
    of what the attention gives."""
    key = value.get_node().get_name(), value.get_index()
    shape = value.get_partial_shape()
    name = value.get_node().get_friendly_name()
    if shape.rank.is_dynamic or axis < 0 or shape[axis] != len(labels):
        raise Skip(f"heads cannot be followed through '{name}'")
    if key in found.seen:
        _, known_axis, known = found.seen[key]
        if known_axis != axis or not np.array_equal(known, labels):
            raise Skip(f"'{name}' carries its heads in two ways")
        return
    found.seen[key] = value, axis, labels
    _up(found, value, axis, labels)
    for target in value.get_target_inputs():
        _down(found, target, axis, labels, after)


def _read(found: Attention, target: Input, axis: int, labels: Labels) -> None:
    """What an input reads carries heads: a constant along them, or a value to follow."""
    value = target.get_source_output()
    if constant_of(value.get_node()) is not None:
        found.carried[target.get_node().get_name(), target.get_index()] = target, axis, labels
    else:
        _visit(found, value, axis, labels)


def _broadcast(found: Attention, target: Input, axis: int, rank: int, labels: Labels) -> None:
    """The same of an operand that is broadcast to ``rank`` dimensions: nothing where it is the same for all heads."""
    shape = target.get_partial_shape()
    own = axis - rank + shape.rank.get_length()
    if own >= 0 and shape[own] != 1:
        _read(found, target, own, labels)


def _up(found: Attention, value: Output, axis: int, labels: Labels) -> None:
    node, rank = value.get_node(), value.get_partial_shape().rank.get_length()
    kind = node.get_type_name()
    if kind == "Parameter":
        found.inputs.append((node, axis, labels))
    elif kind == "MatMul" and constant_of(node.input_value(1).get_node()) is not None and axis == rank - 1:
        _produced(found, node, labels)
    elif kind == "MatMul" and axis < rank - 2:
        for port in (0, 1):
            _broadcast(found, node.input(port), axis, rank, labels)
    elif kind == "ScaledDotProductAttention":
        for port in range(node.get_input_size()):
            _broadcast_heads(found, node.input(port), axis, rank, labels)
    elif kind in PAIRS or kind == "Select":
        for port in range(node.get_input_size()):
            _broadcast(found, node.input(port), axis, rank, labels)
    elif kind in ALONE or kind in _PARTS or (kind in _PER_HEAD and _leaves(node, axis)):
        _read(found, node.input(0), axis, labels)
    elif kind == "Transpose":
        _read(found, node.input(0), _order(node)[axis], labels)
    elif kind in ("Reshape", "Unsqueeze", "Squeeze"):
        if kind == "Reshape":
            found.shapes.append((node, value))
        _read(found, node.input(0), *_relabelled(value.get_partial_shape(), axis, labels, node.input(0)))
    elif kind == "Broadcast":
        found.shapes.append((node, value))
        _broadcast(found, node.input(0), axis, rank, labels)
    elif kind == "Concat":
        _joined(found, node, axis, labels)
    elif kind in _SPLITS:
        _split(found, node, value.get_index(), axis, labels)
    elif kind == "Gather" and _gathers(node) != axis:
        _read(found, node.input(0), axis, labels)
    elif kind == "ReadValue":
        _state(found, node, axis, labels)
    else:
        raise Skip(f"its heads come from '{node.get_friendly_name()}' ({kind})")


def _down(found: Attention, target: Input, axis: int, labels: Labels, after: bool) -> None:
    node, port = target.get_node(), target.get_index()
    kind, name = node.get_type_name(), node.get_friendly_name()
    rank = target.get_partial_shape().rank.get_length()
    out_rank = node.get_output_partial_shape(0).rank.get_length() if node.get_output_size() else 0
    if kind == "ShapeOf" or (kind == "Result" and not after):
        return
    if kind == "Assign":
        found.states[node.get_variable_id()] = axis, labels, target.get_partial_shape()
    elif kind == "MatMul" and port == 0 and axis == rank - 1:
        _consumed(found, node, labels)
    elif kind == "MatMul" and axis < rank - 2:
        _visit(found, node.output(0), axis + out_rank - rank, labels, after)
    elif kind == "ScaledDotProductAttention" and port < 3:
        heads = node.get_output_partial_shape(0)[axis].get_length()
        _visit(found, node.output(0), axis, np.repeat(labels, heads // len(labels)), after)
    elif kind in PAIRS or kind in ("Broadcast", "Select", "ScaledDotProductAttention"):
        _visit(found, node.output(0), axis + out_rank - rank, labels, after)
    elif (
        kind in ALONE or kind in _PARTS or kind == "ReadValue" or (kind in _PER_HEAD and _leaves(node, axis))
    ):
        _visit(found, node.output(0), axis, labels, after)
    elif kind == "Transpose":
        _visit(found, node.output(0), _order(node).index(axis), labels, after)
    elif kind in ("Reshape", "Unsqueeze", "Squeeze"):
        _visit(
            found,
            node.output(0),
            *_relabelled(target.get_partial_shape(), axis, labels, node.output(0)),
            after,
        )
    elif kind == "Concat" and node.get_attributes()["axis"] % rank != axis:
        _visit(found, node.output(0), axis, labels, after)
    elif kind in _SPLITS and port == 0 and _along(node) != axis:
        for output in node.outputs():
            _visit(found, output, axis, labels, after)
    elif kind in _SPLITS and port == 0:
        at = np.cumsum([0, *(output.get_shape()[axis] for output in node.outputs())])
        for number, output in enumerate(node.outputs()):
            _visit(found, output, axis, labels[at[number] : at[number + 1]], after)
    elif kind == "Gather" and port == 0 and _gathers(node) != axis:
        _visit(found, node.output(0), axis, labels, after)
    else:
        raise Skip(f"'{name}' ({kind}) needs all of its heads")


# -- ends and turns of the walk ---------------------------------------------------------------------------------------


def _produced(found: Attention, node: Node, labels: Labels) -> None:
    weights = weights_of(node, "*")
    assert weights is not None
    if len(weights.value.output(0).get_target_inputs()) > 1:
        raise Skip(f"the weights of '{node.get_friendly_name()}' are read by another op, too")
    found.producers[node.get_name()] = node, weights, labels


def _consumed(found: Attention, node: Node, labels: Labels) -> None:
    weights = weights_of(node, "*")
    if weights is None:
        raise Skip(f"'{node.get_friendly_name()}' sums over its heads without weights")
    if len(weights.value.output(0).get_target_inputs()) > 1:
        raise Skip(f"the weights of '{node.get_friendly_name()}' are read by another op, too")
    axis = -1 if node.get_attributes()["transpose_b"] else -2
    found.carried[node.get_name(), 1] = node.input(1), axis, labels


def _broadcast_heads(found: Attention, target: Input, axis: int, rank: int, labels: Labels) -> None:
    """An operand of an attention op: keys and values may have fewer heads than queries."""
    shape = target.get_partial_shape()
    own = axis - rank + shape.rank.get_length()
    if own < 0 or shape[own] == 1 or shape.rank.get_length() < rank:
        return
    count = shape[own].get_length()
    by_key = labels.reshape(count, -1)
    if np.any(by_key != by_key[:, :1]):
        raise _Shared(by_key.shape[1])
    _read(found, target, own, by_key[:, 0])


def _joined(found: Attention, node: Node, axis: int, labels: Labels) -> None:
    """What a Concat joins: all with the same heads, or each with its own where heads are what is joined."""
    along, at = node.get_attributes()["axis"] % node.get_output_partial_shape(0).rank.get_length(), 0
    for source in node.inputs():
        count = source.get_partial_shape()[axis].get_length()
        _read(found, source, axis, labels[at : at + count] if along == axis else labels)
        at += count


def _split(found: Attention, node: Node, index: int, axis: int, labels: Labels) -> None:
    """One part of a split: along another axis the whole has the same labels, along this one those of all parts."""
    if _along(node) != axis:
        _read(found, node.input(0), axis, labels)
        return
    _, parts = found.splits.setdefault(node.get_name(), (node, [None] * node.get_output_size()))
    parts[index] = labels
    known = [part for part in parts if part is not None]
    if len(known) == len(parts):
        _read(found, node.input(0), axis, np.concatenate(known))


def _along(node: Node) -> int:
    """The axis of a split."""
    axes = constant_integers(node.input_value(1))
    if axes is None:
        raise Skip(f"the axis of '{node.get_friendly_name()}' is not a constant")
    return axes[0] % node.get_input_partial_shape(0).rank.get_length()


def _state(found: Attention, node: Node, axis: int, labels: Labels) -> None:
    found.states[node.get_variable_id()] = axis, labels, node.get_output_partial_shape(0)
    if node.get_input_size():
        _read(found, node.input(0), axis, labels)


def _order(node: Node) -> list[int]:
    order = constant_integers(node.input_value(1))
    if order is None:
        raise Skip(f"the order of '{node.get_friendly_name()}' is not a constant")
    return order


def _gathers(node: Node) -> int | None:
    axis = constant_integers(node.input_value(2))
    indices = node.get_input_partial_shape(1).rank
    if axis is None or indices.is_dynamic or indices.get_length() != 1:
        raise Skip(f"what '{node.get_friendly_name()}' picks is not known")
    return axis[0] % node.get_input_partial_shape(0).rank.get_length()


def _leaves(node: Node, axis: int) -> bool:
    """Whether an op that works along axes leaves this one, and all dimensions, as they are."""
    rank = node.get_output_partial_shape(0).rank.get_length()
    if node.get_type_name() == "Softmax":
        return bool(node.get_attributes()["axis"] % rank != axis)
    axes = constant_integers(node.input_value(1))
    return (
        axes is not None
        and axis not in {a % rank for a in axes}
        and rank == node.get_input_partial_shape(0).rank.get_length()
    )


def _relabelled(shape: PartialShape, axis: int, labels: Labels, other: Input | Output) -> tuple[int, Labels]:
    """The axis that carries the labels in the same numbers under another shape, and the labels there: that of whose
    indices each is of one label."""
    to, stride = other.get_partial_shape(), _inner(shape, axis)
    extent, shared = stride * len(labels), 0
    for own in range(to.rank.get_length() - 1, -1, -1):
        if to[own].is_dynamic:
            continue
        length, inner = to[own].get_length(), _inner(to, own)
        most, least = max(extent, length * inner), min(extent, length * inner)
        if length == 1 or most % least:
            continue
        places = np.arange(0, most, gcd(stride, inner))
        label, index = labels[places // stride % len(labels)], places // inner % length
        first = np.zeros(length, np.int64)
        first[index[::-1]] = label[::-1]
        if np.array_equal(first[index], label):
            return own, first
        if inner % stride == 0 and 1 < inner // stride < len(labels) and length * inner == extent:
            shared = inner // stride
    if shared:
        raise _Shared(shared)
    raise Skip("a change of shape mixes its heads with others")


def _inner(shape: PartialShape, axis: int) -> int:
    """Numbers behind an index of an axis; lengths that are dynamic are taken to be one and the same."""
    behind = (shape[i] for i in range(axis + 1, shape.rank.get_length()))
    return prod(length.get_length() if length.is_static else _DYNAMIC for length in behind)
