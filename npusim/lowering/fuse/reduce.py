"""Fusion of reductions, and of sums of products that are no reductions to the compiler."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Literal

from npusim.graph.ir import Op
from npusim.lowering.fuse.fuser import Fuser, full_order, padded
from npusim.lowering.fuse.matmul import channels_last
from npusim.lowering.fuse.views import view
from npusim.lowering.ir.nodes import Bmm, Eltwise, Node, Pool, Reduce, Window
from npusim.lowering.ir.optypes import RESHAPES
from npusim.lowering.ir.shapes import pooling_windows
from npusim.lowering.ir.values import Value, ceil_div
from npusim.lowering.rewrite.patterns import Match

#: Ops that the DPU may reduce (the others run as SHAVE kernels of their names), as nodes call them.
REDUCE_OPS: dict[str, Literal["sum", "mean", "max", "min"]] = {
    "ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "max", "ReduceMin": "min",
}  # fmt: skip
#: Elements from which a sum over the innermost axis is a convolution with ones (``convert_reduce_sum_to_conv.cpp`` of
#: Intel's compiler; 1,536 rows of 4 are, 4,000 in one row are pooled).
WORTH_CONVOLVING = 4096


def reduce(fuser: Fuser, op: Op) -> None:
    """A reduction over the axes that have more than one element."""
    value = fuser.values[op.inputs[0]]
    axes = tuple(a for a in fuser.axes(op.inputs[1], len(value.shape)) if value.shape[a] > 1)
    if not axes:
        if _sums_one_term(fuser, op):
            made = Reduce(op.name, op.type, (fuser.plain(value, op),), fuser.fresh(op), by="sum", axes=())
            fuser.emit(op, made)
        else:
            view(fuser, op)
        return
    if op.type == "ReduceMean" and _is_mean_of_images(value, axes):
        _pool_images(fuser, op, value)
        return
    out = fuser.fresh(op)
    if not value.plain:
        kept = [d for d in value.memory_order if d not in axes]
        if len(out.shape) < len(value.shape):
            dropped = fuser.axes(op.inputs[1], len(value.shape))
            left = [d for d in range(len(value.shape)) if d not in dropped]
            kept = [left.index(d) for d in kept]
        out = replace(out, order=full_order(out, kept))
    fuser.emit(op, Reduce(op.name, op.type, (value,), out, by=REDUCE_OPS[op.type], axes=axes))


def _is_mean_of_images(value: Value, axes: tuple[int, ...]) -> bool:
    """Whether all pixels of each image of a batch are averaged."""
    return len(value.shape) == 4 and value.shape[0] > 1 and axes == (2, 3)


def _pool_images(fuser: Fuser, op: Op, value: Value) -> None:
    """The mean of each image of a batch: average poolings with as large windows as there are, image by image (of one
    image it is a reduction, whose rows need no image of their own)."""
    count, channels, *left = value.shape
    for kernel in pooling_windows(left[0], left[1], fuser.software.pooled_window):
        left = [ceil_div(side, k) for side, k in zip(left, kernel, strict=True)]
        out = channels_last(replace(fuser.fresh(op), shape=(count, channels, *left)), 2)
        pool = Pool(op.name, op.type, (value,), out, window=Window(kernel, kernel), largest=False)
        value = fuser.emit(op, pool).output
    seen = value.reshaped(fuser.shape(op))
    assert seen is not None
    fuser.values[op.outputs[0]] = seen


def _sums_one_term(fuser: Fuser, op: Op) -> bool:
    """Whether the compiler runs a sum over one term: over an innermost axis that goes, and that no view brings back.

    It makes a convolution of it before it asks whether there is anything to sum. Other axes, and reductions that keep
    their axis, are nothing but another shape to it."""
    shape, rank = fuser.graph.tensors[op.inputs[0]].shape, len(fuser.graph.tensors[op.inputs[0]].shape)
    gone = (
        op.type == "ReduceSum" and fuser.axes(op.inputs[1], rank) == (rank - 1,) and fuser.shape(op) != shape
    )
    if not gone or fuser.software.reduce_sum_engine != "dpu" or prod(shape) < WORTH_CONVOLVING:
        return False
    last = op
    while len(readers := fuser.readers.get(last.outputs[0], [])) == 1 and readers[0].type in RESHAPES:
        last = readers[0]
    return fuser.shape(last) != shape


def factor(fuser: Fuser, match: Match) -> Node:
    """sum(a * b) where b does not vary along the axis: sum(a) * b. A transposed b is moved first (Transpose_14 before
    Mul_10 of Mamba-2, every trace on all platforms)."""
    product, op = match.covered
    a, b = (fuser.plain(fuser.values[i], op) for i in match.inputs)
    axis = match.axis
    shape = tuple(1 if d == axis else s for d, s in enumerate(a.shape))
    total = Value(fuser.storage(), shape, a.bits, a.bits, order=a.order)
    fuser.add(Reduce(op.name, op.type, (a,), total, by="sum", axes=(axis,)))
    out = fuser.fresh(op)
    full = tuple(max(x, y) for x, y in zip(shape, b.shape, strict=True))
    whole = replace(out, shape=full, order=b.order)
    factors = (b, fuser.ordered(total, b.order, op))
    node = fuser.emit(op, Eltwise(product.name, product.type, factors, whole, kernel="multiply"))
    fuser.values[op.outputs[0]] = (
        whole.reshaped(out.shape) or fuser.plain(whole, op).reshaped(out.shape) or out
    )
    return node


def contract(fuser: Fuser, match: Match) -> Node:
    """Broadcast Multiply + ReduceSum as a batched MatMul: lhs [B, M, K], rhs [B, N, K], output [B, M, N].

    Where the software sums on SHAVE, the factors lie the same way; sums that are written as products with ones the DPU
    runs wherever the others run. Operands and result of several chunks, which are a fourth dimension, are transposed by
    tasks of their own; with one chunk the ops around them run in the MatMul's layout (Mamba-2 with 1, 2, 4 chunks).
    """
    op, axis = match.root, match.axis
    shape = fuser.shape(match.covered[0])
    a, b = (padded(fuser.values[i], len(shape)) for i in match.inputs)
    dims = range(len(shape))
    batch = [d for d in dims if d != axis and a.shape[d] == b.shape[d] > 1]
    rows = [d for d in dims if a.shape[d] > 1 and b.shape[d] == 1]
    columns = [d for d in dims if b.shape[d] > 1 and a.shape[d] == 1]
    chunked = len(batch) > 1
    if a.memory_order[-1:] != (axis,) or (chunked and a.memory_order != (*batch, *rows, axis)):
        a = fuser.move(a, full_order(a, [*batch, *rows, axis]), op)
    if b.memory_order != (*batch, *columns, axis):
        b = fuser.move(b, full_order(b, [*batch, *columns, axis]), op)
    out = fuser.fresh(op)
    keep = len(out.shape) == len(shape)
    renumber = {d: d if keep or d < axis else d - 1 for d in dims}
    order = [renumber[d] for d in (*batch, *rows, *columns)]
    made = Bmm(
        op.name,
        op.type,
        (a, b),
        replace(out, order=full_order(out, order)),
        batch=prod(shape[d] for d in batch),
        m=prod(shape[d] for d in rows),
        n=prod(shape[d] for d in columns),
        k=shape[axis],
        on="dpu" if op.attrs.get("ones") else fuser.software.contraction_engine,
    )
    node = fuser.emit(op, made)
    if chunked:
        fuser.values[op.outputs[0]] = fuser.plain(node.output, op)
    return node
