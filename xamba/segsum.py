"""Segment sums as differences of one prefix sum.

Mamba-2 needs, for all pairs of tokens i >= j of a chunk, the sum of a over (j, i] (https://arxiv.org/abs/2405.21060,
listing 1). Hugging Face repeats a [..., l] to [..., l, l], clears what is not below the diagonal, and sums each column
with CumSum: l^2 steps. The prefix sum p [..., l] gives all of them as p[i] - p[j]:

    Select(upper, -inf, CumSum(Select(upper or diagonal, 0, Broadcast(a)), -2))   ->   Select(upper, -inf, p[i] - p[j])

A prefix sum that the model makes anyway is used again. The price is cancellation: a difference is as exact as the
rounding of p, whose size grows along the chunk, where CumSum's error is that of the segment. In FP32 that is no matter
(1e-7 of p); in FP16 an entry is off by up to 2^-11 of the larger p.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from openvino import Input, Node, Output
from openvino import opset15 as op

from npusim.xamba.maker import Maker, constant_integers
from npusim.xamba.rule import Rewritten, Rule, Skip, lengths, static_axes

#: Ops that only lay a value out anew.
_VIEWS = ("Unsqueeze", "Reshape")


@dataclass(frozen=True)
class SegSum(Rule[Output]):
    """Mamba-2's segment sums become differences of one prefix sum: no CumSum over an l x l matrix."""

    name = "segsum"
    types = ("CumSum",)

    def check(self, node: Node) -> Output:
        """The values [..., l] whose segments are summed."""
        shape = lengths(node.output(0))
        axes = static_axes(node.input_value(1), len(shape))
        attributes = node.get_attributes()
        if len(shape) < 3 or -1 in shape or shape[-1] != shape[-2] or axes != [len(shape) - 2]:
            raise Skip("it does not sum the columns of square matrices")
        if attributes["exclusive"] or attributes["reverse"]:
            raise Skip("its sums are exclusive or run backwards")
        cleared = node.input_value(0).get_node()
        if cleared.get_type_name() != "Select":
            raise Skip(f"its operand is made by {cleared.get_type_name()}, not by the Select that clears it")
        kept = _kept_by(cleared, diagonal=-1)
        if kept is None or not _is_zero(cleared.input_value(3 - kept)):
            raise Skip("the Select before it does not keep exactly what is below the diagonal")
        readers = node.output(0).get_target_inputs()
        if not all(_keeps_lower_triangle(port) for port in readers):
            raise Skip("it is read by something other than a Select that keeps the lower triangle")
        return _column(cleared.input_value(kept), shape)

    def rewrite(self, node: Node, found: Output, make: Maker) -> Rewritten:
        """The prefix sum, as a column and as a row, and their difference."""
        name = node.get_friendly_name()
        prefix = _prefix_sum(found)
        note = "the difference of a prefix sum that the model has"
        if prefix is None:
            prefix = make.node(f"{name}/prefix", op.cum_sum(found, make.integers(len(found.get_shape()) - 1)))
            note = "the difference of one prefix sum"
        column, row = (
            make.node(f"{name}/{what}", op.unsqueeze(prefix, make.integers((axis,))))
            for what, axis in (("column", -1), ("row", -2))
        )
        return Rewritten(node, make.node(f"{name}/difference", op.subtract(column, row)), note)


def _kept_by(select: Node, diagonal: int) -> int | None:
    """The input of a Select by a constant mask that is taken where column - row <= diagonal, and only there."""
    mask = select.input_value(0).get_node()
    if mask.get_type_name() != "Constant":
        return None
    values = np.asarray(mask.data, np.bool_)
    size = select.get_output_shape(0)[-1]
    if values.size != size * size or values.shape[-2:] != (size, size):
        return None
    lower = np.tril(np.ones((size, size), np.bool_), diagonal)
    values = values.reshape(size, size)
    return 1 if (values == lower).all() else 2 if (values == ~lower).all() else None


def _keeps_lower_triangle(port: Input) -> bool:
    select = port.get_node()
    return select.get_type_name() == "Select" and _kept_by(select, diagonal=0) == port.get_index()


def _column(matrix: Output, shape: tuple[int, ...]) -> Output:
    """The values [..., l] that are repeated as the columns of a matrix [..., l, l]."""
    repeated = matrix.get_node()
    if repeated.get_type_name() not in ("Broadcast", "Tile"):
        raise Skip(f"what it sums is made by {repeated.get_type_name()}, not by Broadcast")
    view = repeated.input_value(0).get_node()
    column = (*shape[:-1], 1)
    if view.get_type_name() not in _VIEWS or tuple(repeated.input_value(0).get_shape()) != column:
        raise Skip("what is repeated is not a vector seen as a column")
    values = view.input_value(0)
    if tuple(values.get_shape()) != shape[:-1]:
        raise Skip("what is repeated is not a vector seen as a column")
    return values


def _is_zero(value: Output) -> bool:
    node = value.get_node()
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return node.get_type_name() == "Constant" and not np.asarray(node.data).any()


def _prefix_sum(values: Output) -> Node | None:
    """A CumSum of the values along their last axis that is there already."""
    rank = len(values.get_shape())
    for port in values.get_target_inputs():
        node = port.get_node()
        if node.get_type_name() != "CumSum" or port.get_index() != 0:
            continue
        axes, attributes = constant_integers(node.input_value(1)), node.get_attributes()
        if axes and axes[0] % rank == rank - 1 and not attributes["exclusive"] and not attributes["reverse"]:
            return node
    return None
