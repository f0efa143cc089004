"""Constant weights of an op: which they are, as rows of sums, and what a rule may replace them with."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod

import numpy as np
from openvino import Node

from npusim.xamba.maker import REAL
from npusim.xamba.rule import Skip

#: Ops whose second operand may be weights, and the table of a Gather.
SUMS = ("MatMul", "Convolution", "GroupConvolution")
TABLES = ("Gather",)
#: Ops between weights that are stored narrow and what reads them.
_DECODING = ("Multiply", "Subtract", "Reshape", "FakeQuantize", "FakeConvert", "GatherElements")


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of one op: the ``constant`` that holds them, and ``value``, the node that the op reads, of the type that
    it computes in (a Convert of the constant, or the constant itself).

    ``order`` brings the axes of the constant to outputs, terms of a sum and taps of a window; the first ``outputs``
    axes are outputs, the next one the terms.
    """

    constant: Node
    value: Node
    order: tuple[int, ...]
    outputs: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the constant."""
        return tuple(self.constant.get_output_shape(0))

    @property
    def elements(self) -> int:
        """How many there are."""
        return prod(self.shape)

    def rows(self) -> np.ndarray:
        """As float32 [outputs, terms, taps]; not always a copy."""
        turned = np.asarray(self.constant.data).transpose(self.order)
        ends = turned.shape[: self.outputs], turned.shape[self.outputs + 1 :]
        return turned.reshape(prod(ends[0]), -1, prod(ends[1])).astype(np.float32, copy=False)

    def unrolled(self, rows: np.ndarray) -> np.ndarray:
        """``rows`` [outputs, terms, taps] in the constant's own order; a length may be 1 where numbers are shared."""
        shape = [self.shape[axis] for axis in self.order]
        if rows.shape[1] == 1:
            shape[self.outputs] = 1
        if rows.shape[2] == 1:
            shape[self.outputs + 1 :] = [1] * (len(shape) - self.outputs - 1)
        return rows.reshape(shape).transpose(np.argsort(self.order))


def weights_of(node: Node, only: str) -> Weights | None:
    """The weights of a node whose name matches ``only``; None: it has none. Raises Skip where they are not plain."""
    if not fnmatchcase(node.get_friendly_name(), only):
        return None
    port = 0 if node.get_type_name() in TABLES else 1
    value = node.input_value(port).get_node()
    constant = value.input_value(0).get_node() if value.get_type_name() == "Convert" else value
    if constant.get_type_name() in _DECODING:
        if _is_stored(constant):
            raise Skip("its weights are stored coded already")
        return None
    if constant.get_type_name() != "Constant" or constant.get_friendly_name().startswith("xamba."):
        return None
    if constant.get_output_element_type(0) not in REAL:
        if value is constant:
            return None
        raise Skip(f"its weights are stored as {constant.get_output_element_type(0).get_type_name()} already")
    found = Weights(constant, value, *_order(node, len(constant.get_output_shape(0))))
    if not found.order or min(found.elements, prod(found.shape[i] for i in found.order[: found.outputs])) < 2:
        raise Skip("its weights are a single row")
    if not np.isfinite(np.asarray(constant.data)).all():
        raise Skip("not all of its weights are finite numbers")
    return found


def _is_stored(node: Node) -> bool:
    """Whether a node makes its result of constants."""
    while node.get_input_size():
        node = node.input_value(0).get_node()
    return node.get_type_name() == "Constant"


def _order(node: Node, rank: int) -> tuple[tuple[int, ...], int]:
    """``order`` and ``outputs`` of Weights."""
    axes = tuple(range(rank))
    match node.get_type_name():
        case "MatMul" if rank > 1 and not node.get_attributes()["transpose_b"]:
            return (*axes[:-2], rank - 1, rank - 2), rank - 1
        case "MatMul" | "Gather":
            return (axes, rank - 1) if rank > 1 else ((), 0)
        case "GroupConvolution":
            return axes, 2
    return axes, 1
