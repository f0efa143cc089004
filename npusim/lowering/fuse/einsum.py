"""Fusion of Einsum: sums of what one operand alone has, then a batched MatMul for each further operand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from npusim.errors import UserError
from npusim.graph.ir import Op
from npusim.lowering.fuse import matmul
from npusim.lowering.fuse.fuser import Fuser
from npusim.lowering.ir.nodes import Reduce
from npusim.lowering.ir.values import Value


@dataclass(frozen=True, slots=True)
class _Operand:
    """A value and the label of each of its dimensions."""

    value: Value
    labels: str


def einsum(fuser: Fuser, op: Op) -> None:
    """Einsum of any number of operands, from left to right.

    Raises UserError for a diagonal (a label twice in one operand) and for an ellipsis.
    """
    left, _, right = str(op.attrs.get("equation", "")).replace(" ", "").partition("->")
    names = left.split(",")
    if any(len(set(n)) != len(n) for n in names) or "." in left:
        raise UserError(
            f"op '{op.name}' (Einsum) has the equation {left}->{right}: npusim takes no diagonals and no ellipsis; "
            "rewrite it with MatMul and ReduceSum"
        )
    operands = [_Operand(v, n) for v, n in zip(fuser.operands(op), names, strict=True)]
    total = operands[0]
    for i, other in enumerate(operands[1:], 1):
        needed = set(right).union(*(n.labels for n in operands[i + 1 :]))
        total = _product(
            fuser, op, _summed(fuser, op, total, needed | set(other.labels)),
            _summed(fuser, op, other, needed | set(total.labels)), needed,
        )  # fmt: skip
    total = _summed(fuser, op, total, set(right))
    seen = total.value.transposed(tuple(total.labels.index(d) for d in right))
    fuser.values[op.outputs[0]] = seen


def _summed(fuser: Fuser, op: Op, operand: _Operand, needed: set[str]) -> _Operand:
    """An operand without the dimensions that nobody needs."""
    axes = tuple(i for i, d in enumerate(operand.labels) if d not in needed)
    if not axes:
        return operand
    value = fuser.plain(operand.value, op)
    kept = tuple(i for i in range(len(operand.labels)) if i not in axes)
    shape = tuple(value.shape[i] for i in kept)
    labels = "".join(operand.labels[i] for i in kept)
    if prod(shape) == value.elements:
        return _Operand(replace(value, shape=shape, order=()), labels)
    made = Value(fuser.storage(), shape, value.bits, value.bits)
    fuser.add(Reduce(op.name, op.type, (value,), made, by="sum", axes=axes))
    return _Operand(made, labels)


def _product(fuser: Fuser, op: Op, a: _Operand, b: _Operand, needed: set[str]) -> _Operand:
    """Two operands as a batched MatMul: [batch, rows, summed] x [batch, columns, summed]."""
    sizes = dict(zip(a.labels + b.labels, (*a.value.shape, *b.value.shape), strict=True))
    batch = [d for d in a.labels if d in b.labels and d in needed]
    summed = [d for d in a.labels if d in b.labels and d not in needed]
    rows = [d for d in a.labels if d not in b.labels]
    columns = [d for d in b.labels if d not in a.labels]

    def matrix(operand: _Operand, own: list[str]) -> Value:
        order = tuple(operand.labels.index(d) for d in (*batch, *own, *summed))
        shape = tuple(prod(sizes[d] for d in part) for part in (batch, own, summed))
        return replace(fuser.plain(operand.value.transposed(order), op), shape=shape, order=())

    shape = tuple(prod(sizes[d] for d in part) for part in (batch, rows, columns))
    made = Value(fuser.storage(), shape, a.value.bits, a.value.bits)
    matmul.batched(fuser, op, matrix(a, rows), matrix(b, columns), False, True, made)
    labels = "".join((*batch, *rows, *columns))
    return _Operand(replace(made, shape=tuple(sizes[d] for d in labels)), labels)
