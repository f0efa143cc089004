"""Weights of fewer bits, as a model file stores them and an op decodes them: integers, NF4, tables, signs.

    weights = (Convert(codes) - point) * scale          integers (point: 3 bits only), NF4, signs
    weights = GatherElements(table, Convert(codes))     tables of a row, with the few weights that it serves worst
              + ScatterElementsUpdate(zeros, places, what is missing)       stored apart (SqueezeLLM)

What a hardware makes of them is for lowering to say: it looks at what is stored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from openvino import Node, Type
from openvino import opset15 as op
from openvino.op import Constant

from npusim.xamba import codes
from npusim.xamba.maker import Maker
from npusim.xamba.options import count, glob, one_of, option, proportion
from npusim.xamba.rule import Rewritten, Rule, Skip
from npusim.xamba.weights import SUMS, TABLES, Weights, weights_of

BITS = {"int8": 8, "int4": 4, "3bit": 3, "nf4": 4, "3bit-table": 3, "4bit-table": 4}
#: Bytes of a weight that is stored apart: FP16, and its place as i32.
_APART_BYTES = 2 + 4
#: Numbers of 3 bits are packed by eights.
_EIGHTS = 8


@dataclass(frozen=True)
class Quantize(Rule[Weights]):
    """Weights of MatMuls and convolutions, and tables of Gathers, become numbers of 8, 4 or 3 bits that are decoded."""

    name = "quantize"
    types = (*SUMS, *TABLES)

    weights: str = option("int8", one_of(*BITS), f"how they are stored: {', '.join(BITS)}.")
    group: int | None = option(
        None, count, "terms that share a scale; without it, all of a row. Not for tables."
    )
    sparse: float | None = option(
        None,
        proportion,
        "for tables: of the weights, those that it serves worst, stored apart in FP16 with their places.",
    )
    only: str = option("*", glob, "names of the ops whose weights are stored so; * stands for anything.")

    def __post_init__(self) -> None:
        """Tables are of rows; only they may have weights apart."""
        if self._table and self.group is not None:
            raise ValueError("a table is of a row: leave out group")
        if not self._table and self.sparse is not None:
            raise ValueError(f"sparse is for tables: weights=3bit-table instead of {self.weights}")

    @property
    def _table(self) -> bool:
        return self.weights.endswith("table")

    def check(self, node: Node) -> Weights | None:
        """The weights, if groups and packing fit them."""
        found = weights_of(node, self.only)
        if found is None:
            return None
        terms = found.shape[found.order[found.outputs]]
        if self.group is not None and len(found.order) > found.outputs + 1:
            raise Skip("groups are of the terms of a MatMul, and it has a window: leave out group")
        if self.group is not None and terms % self.group:
            raise Skip(f"its rows have {terms} numbers, no multiple of {self.group}")
        if BITS[self.weights] == 3 and found.elements % _EIGHTS:
            raise Skip(f"it has {found.elements} weights, and those of 3 bits are packed by eights")
        if self._table and node.get_type_name() in TABLES:
            raise Skip("the table of a Gather is read by rows, not decoded as a whole")
        return found

    def rewrite(self, node: Node, found: Weights, make: Maker) -> Rewritten:
        """The ops that decode."""
        memory, how = np.asarray(found.constant.data), (self, found.order)
        kind = found.value.get_output_element_type(0).get_type_name()
        if self._table:
            parts, lost = make.once_for(memory, how, lambda: self._tabled(found))
            value = _from_table(found, *parts, kind)
        else:
            code, lost = make.once_for(memory, how, lambda: self._coded(found))
            value = _scaled(found, *code, kind)
        for part in (value, *(value.input_value(i).get_node() for i in range(value.get_input_size()))):
            part.set_friendly_name(f"{found.constant.get_friendly_name()}/{part.get_type_name().lower()}")
        return Rewritten(found.value, value, self._said(found), lost)

    def _said(self, found: Weights) -> str:
        stored = found.elements * BITS[self.weights] / 8 + _APART_BYTES * _apart(self.sparse, found.elements)
        apart = f" and {self.sparse:.2%} of them apart" if self.sparse else ""
        return f"{found.elements:,} weights as {self.weights}{apart}, {2 * found.elements / stored:.2f}x fewer bytes"

    def _coded(self, found: Weights) -> tuple[tuple[Constant, np.ndarray, float], float]:
        """The codes as a Constant, the scales that broadcast to it and the point; and the largest error."""
        rows = found.rows()
        grouped = rows.reshape(len(rows), -1, self.group or rows.shape[1] * rows.shape[2])
        code = (
            codes.normal_floats(grouped)
            if self.weights == "nf4"
            else codes.integers(grouped, BITS[self.weights])
        )
        lost = float(np.abs(grouped - code.decoded).max(initial=0))
        if self.group is not None:
            return (codes.packed(code.kind, code.codes), code.scale.astype(np.float16), code.point), lost
        own = np.ascontiguousarray(found.unrolled(code.codes.reshape(rows.shape)))
        return (codes.packed(code.kind, own), found.unrolled(code.scale).astype(np.float16), code.point), lost

    def _tabled(self, found: Weights) -> tuple[tuple[Constant, np.ndarray, np.ndarray, np.ndarray], float]:
        """Codes [rows, numbers] as a Constant, tables, and of what is stored apart the places and what is missing; and
        the largest error."""
        rows = found.rows().reshape(found.rows().shape[0], -1)
        apart = _apart(self.sparse, rows.size)
        places = np.sort(np.argpartition(-np.abs(rows), apart, axis=None)[:apart]).astype(np.int32)
        limit = np.abs(np.delete(rows, places)).max(initial=0) if apart else np.inf
        table, chosen = codes.tables(np.clip(rows, -limit, limit), BITS[self.weights])
        decoded = np.take_along_axis(table, chosen.astype(np.int64), 1).astype(np.float32)
        missing = (rows - decoded).reshape(-1)[places].astype(np.float16)
        decoded.reshape(-1)[places] += missing
        kind = Type.u3 if BITS[self.weights] == 3 else Type.u4
        lost = float(np.abs(rows - decoded).max(initial=0))
        return (codes.packed(kind, chosen), table, places, missing), lost


@dataclass(frozen=True)
class Binary(Rule[Weights]):
    """Weights of the MatMuls and convolutions that are named become their signs times a scale a row, a bit each."""

    name = "binary"
    types = SUMS

    only: str = option("*", glob, "names of the ops whose weights become signs; * stands for anything.")

    def check(self, node: Node) -> Weights | None:
        """The weights."""
        return weights_of(node, self.only)

    def rewrite(self, node: Node, found: Weights, make: Maker) -> Rewritten:
        """The ops that decode."""
        memory = np.asarray(found.constant.data)
        code, lost = make.once_for(memory, (self, found.order), lambda: _signed(found))
        value = _scaled(found, *code, found.value.get_output_element_type(0).get_type_name())
        return Rewritten(found.value, value, f"{found.elements:,} weights as signs, 16.00x fewer bytes", lost)


def _apart(share: float | None, elements: int) -> int:
    return round((share or 0) * elements)


def _signed(found: Weights) -> tuple[tuple[Constant, np.ndarray, float], float]:
    rows = found.rows()
    code = codes.signs(rows)
    own = np.ascontiguousarray(found.unrolled(code.codes))
    lost = float(np.abs(rows - code.decoded).max(initial=0))
    return (codes.packed(code.kind, own), found.unrolled(code.scale).astype(np.float16), code.point), lost


def _scaled(found: Weights, codes: Constant, scale: np.ndarray, point: float, kind: str) -> Node:
    """(codes - point) * scale, in the shape of the weights."""
    value: Node = op.convert(codes, kind)
    if point:
        value = op.subtract(value, op.convert(Constant(np.array(point, np.float16)), kind))
    value = op.multiply(value, op.convert(Constant(np.ascontiguousarray(scale)), kind))
    return value if codes.get_output_shape(0) == found.constant.get_output_shape(0) else _shaped(found, value)


def _from_table(
    found: Weights, codes: Constant, table: np.ndarray, places: np.ndarray, missing: np.ndarray, kind: str
) -> Node:
    """What the codes stand for in their rows' tables, and what is stored apart added."""
    value: Node = op.gather_elements(Constant(table), op.convert(codes, "i32"), 1)
    if places.size:
        shape = codes.get_output_shape(0)
        flat = op.broadcast(
            Constant(np.array(0, np.float16)), Constant(np.array([math.prod(shape)], np.int64))
        )
        apart = op.scatter_elements_update(flat, Constant(places), Constant(missing), Constant(np.array(0)))
        value = op.add(value, op.reshape(apart, Constant(np.array(list(shape), np.int64)), False))
    return _shaped(found, op.convert(value, kind))


def _shaped(found: Weights, rows: Node) -> Node:
    """Rows of weights in the shape and the order of the constant."""
    shape = [found.shape[axis] for axis in found.order]
    value = op.reshape(rows, Constant(np.array(shape, np.int64)), False)
    if found.order == tuple(sorted(found.order)):
        return value
    return op.transpose(value, Constant(np.argsort(found.order).astype(np.int64)))
