"""CumBA: running sums as products with a constant triangle of ones (XAMBA section 3, https://arxiv.org/abs/2502.06924).

    y = CumSum(x, axis)   ->   y = triangle @ x  (axis -2),   y = x @ triangle^T  (axis -1)

Other axes are brought to axis -2 by a Reshape that merges what lies behind them; nothing is transposed. The triangle of
an axis of n elements has n^2 of them, so long axes are cut into blocks: a triangle within each block, and the running
sum of the blocks' totals, itself by CumBA, added to each. Its work grows with n * block.

A product with a triangle sums zero times what comes after; where that is infinite or not a number, so is the result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from openvino import Node, Type
from openvino import opset15 as op

from npusim.xamba.maker import Maker, Value
from npusim.xamba.options import count, option
from npusim.xamba.rule import Rewritten, Rule, Skip, lengths, real, static_axes

#: Longest axis that gets one triangle where no block is given (2 MiB of FP16), and the block of longer ones.
LONGEST_TRIANGLE = 1024
BLOCK = 256


@dataclass(frozen=True, slots=True)
class _Scan:
    """A running sum along axis `axis` of `length`, with dimensions `behind` it."""

    axis: int
    length: int
    behind: tuple[int, ...]
    exclusive: bool
    reverse: bool
    kind: Type


@dataclass(frozen=True)
class CumBA(Rule[_Scan]):
    """CumSum on any axis becomes a MatMul with a triangle of ones, in blocks where the axis is long."""

    name = "cumba"
    types = ("CumSum",)

    block: int | None = option(
        None,
        count,
        f"longest triangle; without it, {BLOCK} for axes longer than {LONGEST_TRIANGLE}, else the axis.",
    )

    def __post_init__(self) -> None:
        """Refuse blocks that would never end."""
        if self.block == 1:
            raise ValueError("a block must have at least 2 elements")

    def check(self, node: Node) -> _Scan:
        """Element type, axis and the lengths that the product needs to know."""
        kind, shape = real(node), lengths(node.input_value(0))
        if not shape:
            raise Skip("a single number has nothing to sum along")
        [axis] = static_axes(node.input_value(1), len(shape))
        length, behind = shape[axis], shape[axis + 1 :]
        if length < 0:
            raise Skip("the axis length is dynamic")
        if length == 1:
            raise Skip("an axis of one number has nothing to sum along")
        if len(behind) > 1 and -1 in behind:
            raise Skip("the axis is not one of the last two, and what lies behind it has a dynamic length")
        if behind == (-1,) and length > self._limit():
            raise Skip("the axis is long enough to need blocks, and the one behind it is dynamic")
        attributes = node.get_attributes()
        return _Scan(axis, length, behind, attributes["exclusive"], attributes["reverse"], kind)

    def rewrite(self, node: Node, found: _Scan, make: Maker) -> Rewritten:
        """One product, or those of the blocked form."""
        name, lead = node.get_friendly_name(), (0,) * found.axis
        x: Value = node.input_value(0)
        inner = math.prod(found.behind) if found.behind else None
        if len(found.behind) > 1:
            x = make.reshape(f"{name}/merge", x, (*lead, found.length, inner or 1))
        y = self._scan(make, name, x, found, inner)
        if len(found.behind) > 1:
            y = make.reshape(f"{name}/part", y, (*lead, found.length, *found.behind))
        return Rewritten(node, y, self._note(found))

    def _limit(self) -> int:
        return self.block or LONGEST_TRIANGLE

    def _note(self, scan: _Scan) -> str:
        if scan.length <= self._limit():
            return f"a MatMul with a triangle of {scan.length}"
        size = self.block or BLOCK
        return f"MatMuls with a triangle of {size} in {math.ceil(scan.length / size)} blocks"

    def _scan(self, make: Maker, name: str, x: Value, scan: _Scan, inner: int | None) -> Node:
        """The running sum of x [..., length, inner], or of x [..., length] where `inner` is None."""
        if scan.length > self._limit():
            return self._blocked(make, name, x, scan, inner)
        triangle = make.triangle(scan.length, scan.kind, exclusive=scan.exclusive, reverse=scan.reverse)
        return _along(make, f"{name}/triangle", triangle, x, inner)

    def _blocked(self, make: Maker, name: str, x: Value, scan: _Scan, inner: int | None) -> Node:
        size, lead = self.block or BLOCK, (0,) * scan.axis
        tail = () if inner is None else (inner,)
        blocks = math.ceil(scan.length / size)
        padding = blocks * size - scan.length
        if padding:
            ends = (*lead, padding, *(0 for _ in tail))
            zero = make.exact("xamba.zero", scan.kind, lambda: np.zeros((), np.float32))
            begin = make.integers(tuple(0 for _ in ends))
            x = make.node(f"{name}/pad", op.pad(x, begin, make.integers(ends), "constant", zero))
        x = make.reshape(f"{name}/blocks", x, (*lead, blocks, size, *tail))
        triangle = make.triangle(size, scan.kind, exclusive=scan.exclusive, reverse=scan.reverse)
        within = _along(make, f"{name}/within", triangle, x, inner)
        totals: Value
        if scan.exclusive:
            totals = _along(make, f"{name}/totals", make.ones(size, scan.kind), x, inner)
        else:
            last = 0 if scan.reverse else size - 1
            where = [make.integers((v,)) for v in (last, last + 1, 1, scan.axis + 1)]
            totals = make.node(f"{name}/totals", op.slice(within, *where))
        totals = make.reshape(f"{name}/totals/line", totals, (*lead, blocks, *tail))
        outer = _Scan(scan.axis, blocks, tail, True, scan.reverse, scan.kind)
        before = self._scan(make, f"{name}/before", totals, outer, inner)
        before = make.reshape(f"{name}/before/column", before, (*lead, blocks, 1, *tail))
        y: Value = make.node(f"{name}/add", op.add(within, before))
        y = make.reshape(f"{name}/line", y, (*lead, blocks * size, *tail))
        if padding:
            where = [make.integers((v,)) for v in (0, scan.length, 1, scan.axis)]
            y = make.node(f"{name}/unpad", op.slice(y, *where))
        return y


def _along(make: Maker, name: str, matrix: Node, x: Value, inner: int | None) -> Node:
    """The matrix [m, n] times x [..., n, inner], or times each row of x [..., n]."""
    if inner is None:
        return make.matmul(name, x, matrix, transpose_b=True)
    return make.matmul(name, matrix, x)
