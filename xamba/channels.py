"""Structural pruning: products with fewer outputs, and everything that carries them narrowed with them.

From a product on, its channels are followed through what leaves them apart (activations, sums and products with other
channels, poolings, depth-wise convolutions) to the products that read them. Other products whose channels meet these
are narrowed together, by the same places: gate and up projections, both sides of a squeeze. What needs all of the
channels (a residual sum with what is no product, a change of shape, an output) keeps them as they are.

Kept are the places with the largest rows of weights, as many as are asked for, rounded up to a multiple of GRANULE.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil

import numpy as np
from openvino import Input, Node, Output
from openvino import opset15 as op
from openvino.op import Constant

from npusim.xamba.maker import constant_integers
from npusim.xamba.rule import Skip
from npusim.xamba.weights import SUMS, Weights, weights_of

#: Channels that a DPU works on together: other widths are computed, and stored, as the next multiple.
GRANULE = 16
#: What the name of weights with fewer outputs ends in.
NARROWED = "/narrowed"
ALONE = frozenset({
    "Relu", "Swish", "Gelu", "Sigmoid", "Tanh", "HSwish", "HSigmoid", "Clamp", "Elu", "Convert", "SoftPlus", "Negative",
    "Exp", "Abs", "Sqrt", "Power", "Mish", "SoftSign",
})  # fmt: skip
PAIRS = frozenset({"Add", "Multiply", "Subtract", "Divide", "Maximum", "Minimum", "PRelu"})
_POOLS = frozenset({"MaxPool", "AvgPool"})
_MEANS = frozenset({"ReduceMean", "ReduceSum", "ReduceMax"})


@dataclass
class Region:
    """Products whose outputs are the same ``channels``, the inputs whose constants carry these along an axis (of
    weights that sum over them, of biases and windows), and what the walk has seen."""

    channels: int
    producers: dict[str, tuple[Node, Weights]] = field(default_factory=dict)
    carried: dict[tuple[str, int], tuple[Input, int]] = field(default_factory=dict)
    seen: set[tuple[str, int]] = field(default_factory=set)


def region_of(node: Node) -> Region | None:
    """The region of a product's outputs; None where it has no weights. Raises Skip where they cannot be narrowed."""
    weights = weights_of(node, "*")
    if weights is None or node.get_type_name() not in ("MatMul", "Convolution"):
        return None
    if len(weights.order) > 2 and node.get_type_name() == "MatMul":
        raise Skip("its weights are a batch of matrices")
    region = Region(weights.shape[weights.order[0]])
    _produced(region, node)
    return region


def _axis(node: Node) -> int:
    """The axis of the channels in what a product makes, from the right."""
    return -1 if node.get_type_name() == "MatMul" else 1 - node.get_output_partial_shape(0).rank.get_length()


def _produced(region: Region, node: Node) -> None:
    """Add a product to the region, and follow what it makes."""
    name = node.get_friendly_name()
    if node.get_name() in region.producers:
        return
    weights = weights_of(node, "*")
    if weights is None or weights.shape[weights.order[0]] != region.channels:
        raise Skip(f"its channels meet those of '{name}', which has others")
    if weights.constant.get_friendly_name().endswith(NARROWED):
        raise Skip("it was narrowed with others before")
    if len(weights.value.output(0).get_target_inputs()) > 1:
        raise Skip(f"the weights of '{name}' are read by another op, too")
    region.producers[node.get_name()] = node, weights
    _follow(region, node.output(0), _axis(node))


def _follow(region: Region, value: Output, axis: int) -> None:
    """Go on to everything that reads a value, whose channels lie along ``axis`` from the right."""
    key = value.get_node().get_name(), value.get_index()
    if key in region.seen:
        return
    region.seen.add(key)
    for target in value.get_target_inputs():
        _read(region, target, axis)


def _read(region: Region, target: Input, axis: int) -> None:
    node, port = target.get_node(), target.get_index()
    kind, name = node.get_type_name(), node.get_friendly_name()
    if kind in ALONE or (kind in _POOLS and port == 0):
        _follow(region, node.output(0), axis)
    elif kind in PAIRS:
        _met(region, node.input(1 - port), axis)
        _follow(region, node.output(0), axis)
    elif kind in _MEANS and port == 0 and _keeps(node, axis):
        _follow(region, node.output(0), axis)
    elif kind == "GroupConvolution" and port == 0 and node.get_input_shape(1)[0] == region.channels:
        _carry(region, node.input(1), 0)
        _follow(region, node.output(0), axis)
    elif kind == "Convolution" and port == 0:
        _carry(region, node.input(1), 1)
    elif kind == "MatMul" and port == 0 and axis == -1 and not node.get_attributes()["transpose_a"]:
        _carry(region, node.input(1), -1 if node.get_attributes()["transpose_b"] else -2)
    elif kind == "Result":
        raise Skip("its channels are an output of the model")
    else:
        raise Skip(f"'{name}' ({kind}) needs all of its channels")


def _met(region: Region, other: Input, axis: int) -> None:
    """What channels are added to, or multiplied by: constants along them, or the same channels of other products."""
    value = other.get_source_output()
    shape = value.get_partial_shape()
    if shape.rank.is_dynamic or (-axis <= shape.rank.get_length() and shape[axis].is_dynamic):
        raise Skip("what its channels meet has no known shape")
    if -axis > shape.rank.get_length() or shape[axis].get_length() == 1:
        return
    _up(region, value, axis, other)


def _up(region: Region, value: Output, axis: int, other: Input) -> None:
    """Go up to the products, or the constant, that a value with the region's channels comes from."""
    node = value.get_node()
    kind = node.get_type_name()
    if (node.get_name(), value.get_index()) in region.seen:
        return
    if constant_of(node) is not None:
        _carry(region, other, axis)
    elif kind in SUMS and kind != "GroupConvolution":
        _produced(region, node)
    elif kind in ALONE or kind in _POOLS or (kind in _MEANS and _keeps(node, axis)):
        _up(region, node.input_value(0), axis, node.input(0))
        _follow(region, value, axis)
    elif kind in PAIRS:
        region.seen.add((node.get_name(), value.get_index()))
        for port in (0, 1):
            _met(region, node.input(port), axis)
        region.seen.discard((node.get_name(), value.get_index()))
        _follow(region, value, axis)
    else:
        raise Skip(f"its channels meet those of '{node.get_friendly_name()}' ({kind}), which is no product")


def _keeps(node: Node, axis: int) -> bool:
    """Whether a reduction leaves the axes as they are, and the channels apart."""
    axes, rank = constant_integers(node.input_value(1)), node.get_input_partial_shape(0).rank.get_length()
    return (
        axes is not None
        and bool(node.get_attributes()["keep_dims"])
        and axis % rank not in {a % rank for a in axes}
    )


def _carry(region: Region, target: Input, axis: int) -> None:
    node = target.get_source_output().get_node()
    constant = constant_of(node)
    if constant is None or constant.get_output_shape(0)[axis] != region.channels:
        name = target.get_node().get_friendly_name()
        raise Skip(f"'{name}' reads its channels with what is no plain constant of {region.channels}")
    region.carried[target.get_node().get_name(), target.get_index()] = target, axis


def constant_of(node: Node) -> Node | None:
    """The constant that a node is, or widens; None where it is neither."""
    source = node.input_value(0).get_node() if node.get_type_name() == "Convert" else node
    return source if source.get_type_name() == "Constant" else None


def kept_places(region: Region, share: float) -> np.ndarray:
    """The channels that stay when about ``share`` of them go. Raises Skip where rounding leaves them all."""
    count = GRANULE * ceil(region.channels * (1 - share) / GRANULE)
    if count >= region.channels:
        raise Skip(
            f"{region.channels} channels less {share:.0%}, rounded up to a multiple of {GRANULE}, are as many"
        )
    sizes = np.sum([np.square(w.rows()).sum(axis=(1, 2)) for _, w in region.producers.values()], axis=0)
    return np.sort(np.argsort(-sizes, kind="stable")[:count])


def narrow(region: Region, kept: np.ndarray, root: Node) -> tuple[Node, Node]:
    """Narrow everything in a region but the outputs of the product ``root``: its weights, and what replaces them."""
    for target, axis in region.carried.values():
        value = target.get_source_output().get_node()
        target.replace_source_output(taken(value, kept, axis, "").output(0))
    for node, weights in region.producers.values():
        value = node.input_value(1).get_node()  # already narrower where it reads these channels, too
        made = taken(value, kept, weights.order[0], NARROWED)
        if node.get_name() == root.get_name():
            pair = value, made
        else:
            node.input(1).replace_source_output(made.output(0))
    return pair


def taken(value: Node, kept: np.ndarray, axis: int, ending: str) -> Node:
    """A constant, and its Convert if it has one, with the places ``kept`` of an axis alone."""
    constant = constant_of(value)
    assert constant is not None
    made = Constant(np.ascontiguousarray(np.take(np.asarray(constant.data), kept, axis)))
    made.set_friendly_name(constant.get_friendly_name().removesuffix(ending) + ending)
    if value is constant or value.get_type_name() == "Constant":
        return made
    return op.convert(made, value.get_output_element_type(0).get_type_name())
