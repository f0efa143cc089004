"""Fusion of Einsum: sums of what one operand alone has, then a batched MatMul for each further operand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from string import ascii_letters

from npusim.graph.ir import Op
from npusim.lowering.fuse import matmul
from npusim.lowering.fuse.fuser import Fuser
from npusim.lowering.ir.nodes import Copy, Reduce
from npusim.lowering.ir.values import Value


@dataclass(frozen=True, slots=True)
class _Operand:
    """A value and the label of each of its dimensions."""

    value: Value
    labels: str


def einsum(fuser: Fuser, op: Op) -> None:
    """Einsum of any number of operands, from left to right."""
    ranks = [len(fuser.graph.tensors[i].shape) for i in op.inputs]
    names, right = _labels(str(op.attrs.get("equation", "")).replace(" ", ""), ranks)
    sizes: dict[str, int] = {}
    for id, labels in zip(op.inputs, names, strict=True):
        for label, size in zip(labels, fuser.graph.tensors[id].shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    operands = [_of_sizes(fuser, op, v, n, sizes) for v, n in zip(fuser.operands(op), names, strict=True)]
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


def _labels(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """The labels of the operands and of the result, one a dimension: those behind an ellipsis are written out, and a
    result that is not written has what occurs once, in order."""
    left, arrow, right = equation.partition("->")
    names = left.split(",")
    if not arrow:
        once = sorted(c for c in set(left) - {",", "."} if left.count(c) == 1)
        right = "..." * ("..." in left) + "".join(once)
    spare = [c for c in ascii_letters if c not in equation]
    hidden = [rank - len(n.replace("...", "")) for n, rank in zip(names, ranks, strict=True)]
    most = "".join(spare[: max(hidden)])
    names = [n.replace("...", most[len(most) - count :]) for n, count in zip(names, hidden, strict=True)]
    return names, right.replace("...", most)


def _of_sizes(fuser: Fuser, op: Op, value: Value, labels: str, sizes: dict[str, int]) -> _Operand:
    """An operand without dimensions that it is repeated along, and of the diagonal alone where a label comes twice."""
    kept = [i for i, d in enumerate(labels) if labels.index(d) == i and (value.shape[i] > 1 or sizes[d] == 1)]
    if len(kept) == len(labels):
        return _Operand(value, labels)
    shape = tuple(value.shape[i] for i in kept)
    seen = replace(
        fuser.plain(value, op), shape=shape, order=(), partial=value.partial or prod(shape) < value.elements
    )
    if seen.partial and len(set(labels)) < len(labels):
        seen = fuser.add(
            Copy(op.name, op.type, (seen,), Value(fuser.storage(), shape, value.bits, value.bits))
        ).output
    return _Operand(seen, "".join(labels[i] for i in kept))


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
