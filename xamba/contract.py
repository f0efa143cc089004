"""Contraction: a broadcast Multiply followed by ReduceSum is a batched MatMul, and its product need not exist.

    ReduceSum(a [b, l, 1, n] * c [b, 1, s, n], -1)   ->   a [b, l, n] @ c [b, s, n]^T   = [b, l, s]

Of every axis of the product, both factors, one of them or neither has more than one element: the summed axes are those
of the MatMul's sum, shared ones make its batch, those of one factor its rows, those of the other its columns. Mamba-2's
scores of one chunk are 201 million products of 25 thousand numbers (evidence/xamba.md#3).

A sum over axes of one element, as a product of one term has it, is another shape. Left as it stands Intel's compiler
pads its one term to sixteen, and adds up zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from openvino import Node, Output
from openvino import opset15 as op

from npusim.xamba.maker import Maker, Value
from npusim.xamba.options import option, yes_or_no
from npusim.xamba.rule import Rewritten, Rule, Skip, lengths, real, static_axes

#: A product that is no larger than one of its factors is a MatMul with a vector; it pays from this many rows on.
VECTOR_ROWS = 16
#: Terms that a DPU adds at once, and pads a sum to.
GRANULE = 16


@dataclass(frozen=True, slots=True)
class _Product:
    """The factors of a product of `shape`, and its axes by their part in the MatMul: factors[0] has the rows."""

    factors: tuple[Output, Output]
    shape: tuple[int, ...]
    batch: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    summed: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Elements of the product."""
        return prod(self.shape)

    def size(self, axes: tuple[int, ...]) -> int:
        """Elements along some axes."""
        return prod(self.shape[d] for d in axes)


@dataclass(frozen=True)
class Contract(Rule[_Product | Output]):
    """ReduceSum of a broadcast Multiply becomes a batched MatMul; the product is never made. A ReduceSum of one term
    becomes a Reshape."""

    name = "contract"
    types = ("ReduceSum",)

    short: bool = option(
        False,
        yes_or_no,
        f"yes also contracts products no larger than a factor whose terms are padded to {GRANULE}",
    )

    def check(self, node: Node) -> _Product | Output:
        """The part of every axis in the MatMul; or what a sum of one term leaves as it is."""
        terms = lengths(node.input_value(0))
        if all(terms[d] == 1 for d in static_axes(node.input_value(1), len(terms))):
            if -1 in terms:
                raise Skip("nothing is summed, but a shape is dynamic")
            return node.input_value(0)
        multiply = node.input_value(0).get_node()
        if multiply.get_type_name() != "Multiply":
            raise Skip(f"its operand is made by {multiply.get_type_name()}, not by Multiply")
        if len(multiply.output(0).get_target_inputs()) > 1:
            raise Skip("others read the product too")
        real(node)
        shape, a, b = (lengths(v) for v in (multiply.output(0), *(multiply.input_value(i) for i in (0, 1))))
        if -1 in (*shape, *a, *b):
            raise Skip("a shape is dynamic")
        rank = len(shape)
        a, b = ((1,) * (rank - len(s)) + s for s in (a, b))
        found = _parts(multiply, shape, a, b, set(static_axes(node.input_value(1), rank)))
        products = min(found.size(found.rows), found.size(found.columns)) * found.size(found.summed)
        if found.columns and products <= GRANULE and not self.short:
            raise Skip(
                f"a MatMul is padded to {GRANULE} terms, no fewer than the {products} products a column"
            )
        return found

    def rewrite(self, node: Node, found: _Product | Output, make: Maker) -> Rewritten:
        """Both factors laid out as matrices, their product, and its axes put where the sum had them."""
        name = node.get_friendly_name()
        if isinstance(found, Output):
            kept = make.integers(tuple(node.get_output_shape(0)))
            seen = make.node(f"{name}/shape", op.reshape(found, kept, special_zero=False))
            return Rewritten(node, seen, "a Reshape: there is one term")
        left, right = found.factors
        lead = tuple(found.shape[d] for d in found.batch)
        m, n, k = (found.size(axes) for axes in (found.rows, found.columns, found.summed))
        a, a_last = _matrix(make, f"{name}/rows", left, found, found.rows)
        b, b_last = _matrix(make, f"{name}/columns", right, found, found.columns)
        y: Value = make.matmul(f"{name}/matmul", a, b, transpose_a=not a_last, transpose_b=b_last)
        order = (*found.batch, *found.rows, *found.columns)
        y = make.reshape(f"{name}/axes", y, tuple(found.shape[d] for d in order))
        natural = sorted(order)
        y = make.transpose(f"{name}/order", y, [order.index(d) for d in natural])
        shape = tuple(node.get_output_shape(0))
        y = make.node(f"{name}/shape", op.reshape(y, make.integers(shape), special_zero=False))
        times = f"{prod(lead)} x " if prod(lead) > 1 else ""
        note = f"{times}MatMul [{m}, {k}] @ [{k}, {n}]; a product of {found.elements:,} is not made"
        return Rewritten(node, y, note)


def _parts(
    multiply: Node, shape: tuple[int, ...], a: tuple[int, ...], b: tuple[int, ...], reduced: set[int]
) -> _Product:
    axes = range(len(shape))
    if any(a[d] != b[d] for d in reduced):
        raise Skip("a factor does not vary along the summed axis, and belongs in front of the sum")
    batch = tuple(d for d in axes if d not in reduced and a[d] == b[d] > 1)
    rows = tuple(d for d in axes if d not in reduced and a[d] > b[d])
    columns = tuple(d for d in axes if d not in reduced and b[d] > a[d])
    summed = tuple(d for d in axes if d in reduced and shape[d] > 1)
    factors = (multiply.input_value(0), multiply.input_value(1))
    if not rows or (columns and columns[0] < rows[0]):
        factors, rows, columns = factors[::-1], columns, rows  # what comes first in the result are the rows
    found = _Product(factors, shape, batch, rows, columns, summed)
    if not rows:
        raise Skip("nothing is broadcast: the factors have the same shape")
    if not columns and found.size(rows) < VECTOR_ROWS:
        raise Skip(f"it is a product with a vector of {found.size(rows)} rows, too few for a MatMul")
    return found


def _matrix(
    make: Maker, name: str, factor: Output, found: _Product, outer: tuple[int, ...]
) -> tuple[Value, bool]:
    """A factor as [*batch, outer, summed] or, where that is how it lies, [*batch, summed, outer]; and whether the
    summed axes are the last.
    """
    rank = len(found.shape)
    own = tuple(d for d in range(rank) if d in (*found.batch, *outer, *found.summed))
    lead = [found.shape[d] for d in found.batch]
    sizes = [found.shape[d] for d in own]
    x = make.reshape(f"{name}/squeeze", factor, sizes)
    last = own != (*found.batch, *found.summed, *outer) or not outer
    order = (*found.batch, *outer, *found.summed) if last else own
    x = make.transpose(f"{name}/order", x, [own.index(d) for d in order])
    inner = (found.size(outer), found.size(found.summed))
    return make.reshape(f"{name}/matrix", x, (*lead, *(inner if last else inner[::-1]))), last
