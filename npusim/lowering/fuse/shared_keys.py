"""Attention all of whose heads share one head of keys and values, cut into slices of the rows of all heads
(``ir.shared_keys``)."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from npusim.graph.ir import Op
from npusim.lowering.fuse.fuser import Fuser, full_order
from npusim.lowering.ir.convolution import fold_rows
from npusim.lowering.ir.nodes import Bmm, Concat, Unary
from npusim.lowering.ir.values import Value, even


def in_slices(fuser: Fuser, op: Op, operands: tuple[Value, Value, Value], out: Value) -> None:
    """Slice after slice: scores, softmax, and its product with the values, which is one for all where the scores are
    made apart, head by head. The DPU makes the next scores before it waits for a softmax."""
    q, k, v = operands
    (rows, columns, depth), width = (prod(q.shape[:-1]), k.shape[-2], q.shape[-1]), v.shape[-1]
    k = fuser.move(k, full_order(k, [len(k.shape) - 2, len(k.shape) - 1]), op)
    keys = replace(k, shape=(columns, depth), order=())
    apart, count = bool(op.attrs.get("scores_apart")), int(op.attrs["slices"])
    height, beside = fold_rows(rows, fuser.software.row_fold)
    sizes = (
        [part * beside for part in even(height, count)]
        if height * beside == rows
        else list(even(rows, count))
    )

    def product(name: str, a: Value, b: Value, n: int, result: Value | None = None) -> Value:
        m, terms = a.shape
        made = result or Value(fuser.storage(), (m, n))
        loose = a.storage == q.storage or (apart and result is not None)
        node = Bmm(
            f"{op.name}/{name}", op.type, (a, b), made, m=m, n=n, k=terms, regrouped="left" if loose else ""
        )
        return fuser.add(node).output

    def values() -> Value:
        turned = fuser.move(v, full_order(v, [len(v.shape) - 1, len(v.shape) - 2]), op)
        return replace(turned, shape=(width, columns), order=())

    def scores(size: int) -> Value:
        return product("QK", replace(q, shape=(size, depth), order=(), partial=size < rows), keys, columns)

    whole = replace(out, shape=(rows, width), order=())
    transposed = None if apart else values()
    waiting, pieces = scores(sizes[0]), []
    for size, following in zip(sizes, [*sizes[1:], 0], strict=True):
        made, waiting = waiting, scores(following) if following else waiting
        weights = Value(fuser.storage(), made.shape)
        fuser.add(Unary(f"{op.name}/softmax", op.type, (made,), weights, kernel="softmax", axis=1))
        single = whole if size == rows else None
        pieces.append(weights if transposed is None else product("PV", weights, transposed, width, single))
    if transposed is None:
        weights = Value(fuser.storage(), (rows, columns))
        fuser.add(Concat(f"{op.name}/softmax", op.type, tuple(pieces), weights, axis=0))
        product("PV", weights, values(), width, whole)
    elif len(pieces) > 1:
        fuser.add(Concat(op.name, op.type, tuple(pieces), whole, axis=0))
    fuser.values[op.outputs[0]] = replace(whole, shape=out.shape)
