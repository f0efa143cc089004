"""Fusion of what multiplies or slides kernels: MatMul, attention, convolution, pooling."""

from __future__ import annotations

from dataclasses import replace
from math import gcd, prod
from typing import Any

from npusim.graph.ir import Op
from npusim.lowering.fuse import kernels
from npusim.lowering.fuse.attention import PerHead, head_by_head, one_kernel, projections
from npusim.lowering.fuse.fuser import Fuser, full_order, padded, same_order
from npusim.lowering.fuse.images import read_image
from npusim.lowering.fuse.shared_keys import in_slices
from npusim.lowering.ir.nodes import Bmm, Conv, Depthwise, Pool, Unary, Window
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import Value, round_up
from npusim.lowering.rewrite.patterns import LEAST_GROUP
from npusim.lowering.rewrite.weights import sparse_zeros
from npusim.lowering.rewrite.windows import MAX_KERNEL

#: How many times longer padded terms of a grouped MatMul are from which a convolution pads them, else copies do (4000:
#: 12 and 24 terms are convolved, 40 copied).
WORTH_WIDENING = 4 / 3


def matmul(fuser: Fuser, op: Op) -> None:
    """MatMul: a 1x1 convolution where the second operand is a constant matrix, else batched. A vector is a matrix of
    one row on the left, of one column on the right."""
    a, b = fuser.operands(op)
    ta, tb = bool(op.attrs.get("transpose_a")), bool(op.attrs.get("transpose_b"))
    out = fuser.fresh(op)
    shape = out.shape
    if len(b.shape) == 1:
        b, tb, out = replace(b, shape=(*b.shape, 1), order=()), False, replace(out, shape=(*out.shape, 1))
    if len(a.shape) == 1:
        a, ta = replace(a, shape=(1, *a.shape), order=()), False
        out = replace(out, shape=(*out.shape[:-1], 1, *out.shape[-1:]))
    product(fuser, op, a, b, ta, tb, out)
    if out.shape != shape:
        fuser.values[op.outputs[0]] = replace(out, shape=shape)


def product(fuser: Fuser, op: Op, a: Value, b: Value, ta: bool, tb: bool, out: Value) -> None:
    """MatMul of two matrices, or batches of them."""
    if b.constant and not a.constant and prod(b.shape[:-2]) == 1:
        k = a.shape[-2] if ta else a.shape[-1]
        if ta:
            swapped = tuple(range(len(a.shape) - 2)) + (len(a.shape) - 1, len(a.shape) - 2)
            a = a.transposed(swapped)
        a = fuser.plain(a, op)
        n = out.shape[-1]
        zeros = sparse_zeros(fuser.graph.tensors[op.inputs[1]], k, n, fuser.sparsity)
        fuser.emit(op, Conv(op.name, op.type, (a, b), out, m=out.elements // n, k=k, n=n, zeros=zeros))
        return
    batched(fuser, op, a, b, ta, tb, out)


def batched(fuser: Fuser, op: Op, a: Value, b: Value, ta: bool, tb: bool, out: Value) -> None:
    """act x act MatMul (or a constant mask times an activation)."""
    rank, four = max(len(out.shape), 2), len(a.shape) == len(b.shape) == 4
    a, b = padded(a, rank), padded(b, rank)
    m, n = out.shape[-2], out.shape[-1]
    k = a.shape[-2] if ta else a.shape[-1]
    batch = prod(out.shape[:-2])
    lead = list(range(rank - 2))
    a_axis, b_axis = (rank - 2 if ta else rank - 1), (rank - 1 if tb else rank - 2)
    a_rows, b_columns = (rank - 1 if ta else rank - 2), (rank - 2 if tb else rank - 1)
    if not a.constant and a.memory_order[-1:] != (a_axis,) and k > 1:
        a = fuser.move(a, full_order(a, [*lead, a_rows, a_axis]), op)
    right = full_order(b, [*lead, b_columns, b_axis])
    if not b.constant and not same_order(b, right) and k > 1:
        b = fuser.written(b, right, op) or fuser.move(b, right, op)
    if fuser.software.grouped_matmul and batch >= fuser.tiles and not (a.constant or b.constant):
        b = _widened(fuser, op, b, batch, n, k)
    again: Any = op.attrs.get("regrouped", "")
    made = Bmm(op.name, op.type, (a, b), out, batch=batch, m=m, n=n, k=k, regrouped=again, four=four)
    fuser.emit(op, made)


def outer_product(fuser: Fuser, op: Op) -> bool:
    """A Multiply of rows [..., m, 1] and columns [..., 1, n] as a grouped MatMul of one term, where the groups lie
    outside of rows and columns and are as many as tiles (npu_compiler, IE/transforms/passes/fuse_ops_to_matmul.cpp,
    2026). What a ReduceSum alone reads has been asked for its contraction before."""
    software, shape = fuser.software, fuser.shape(op)
    if op.type != "Multiply" or not software.contract_multiply_reduce or software.contraction_engine != "dpu":
        return False
    a, b = (fuser.values[i] for i in op.inputs)
    readers = fuser.readers.get(op.outputs[0], [])
    summed = len(readers) == 1 and readers[0].type == "ReduceSum"
    alike = len(a.shape) == len(b.shape) == len(shape) > 2
    if summed or not alike or a.constant or b.constant or not software.grouped_matmul:
        return False
    wide = [d for d, size in enumerate(shape) if size > 1]
    rows, columns = ([d for d in wide if v.shape[d] == 1] for v in (b, a))
    if [*rows, *columns] != wide[-2:] or len(rows) != 1 or len(columns) != 1:
        return False
    m, n = shape[rows[0]], shape[columns[0]]
    batch = prod(shape) // (m * n)
    if m * n < LEAST_GROUP or batch < fuser.tiles:
        return False
    left, right = (_widened(fuser, op, fuser.plain(v, op), batch, size, 1) for v, size in ((a, m), (b, n)))
    fuser.emit(op, Bmm(op.name, op.type, (left, right), fuser.fresh(op), batch=batch, m=m, n=n, k=1))
    return True


def _widened(fuser: Fuser, op: Op, columns: Value, batch: int, n: int, k: int) -> Value:
    """Columns (or rows) [groups, n, k] of a grouped MatMul with their few terms padded to the DPU's granule, by a
    convolution that reads and writes several columns as one pixel; as they are where they do not fill such pixels."""
    wide = round_up(k, CHANNELS)
    fold = CHANNELS // gcd(k, CHANNELS)
    if wide < WORTH_WIDENING * k or n % fold:
        return columns
    weights = Value(fuser.storage(), (wide * fold, k * fold), constant=True)
    target = Value(fuser.storage(), (batch * n // fold, wide * fold))
    pixels = batch * n // fold
    fuser.add(Conv(op.name, op.type, (columns, weights), target, m=pixels, k=k * fold, n=wide * fold))
    return target


def attention(fuser: Fuser, op: Op) -> None:
    """softmax(Q K^T * scale + mask) V, per head where the compiler cuts it so."""
    out = fuser.fresh(op)
    operands = fuser.operands(op)[:3]
    parts = projections(op, operands, fuser.made)
    if parts is not None:
        nodes, joined = PerHead(op, parts, operands[0], fuser.storage, fuser.software).nodes(out)
        for part in parts:
            fuser.made.pop(part.output.storage, None)
        for node in nodes:
            fuser.add(node)
        fuser.values[op.outputs[0]] = joined
        return
    q = fuser.plain(operands[0], op)
    if op.attrs.get("kernel"):
        one_kernel(fuser, op, (q, operands[1], operands[2]), out)
        return
    if op.attrs.get("slices"):
        in_slices(fuser, op, (q, operands[1], operands[2]), out)
        return
    if op.attrs.get("by_head") or (not fuser.software.grouped_matmul and prod(q.shape[:-2]) > 1):
        head_by_head(fuser, op, (q, operands[1], operands[2]), out)
        return
    k, v = (fuser.plain(value, op) for value in operands[1:])
    scores = Value(fuser.storage(), (*q.shape[:-1], k.shape[-2]))
    weights = Value(fuser.storage(), scores.shape)
    name = op.name
    batched(fuser, Op(f"{name}/QK", op.type, (), (op.outputs[0],)), q, k, False, True, scores)
    fuser.values.pop(op.outputs[0], None)
    fuser.add(Unary(f"{name}/softmax", op.type, (scores,), weights, kernel="softmax"))
    batched(fuser, Op(f"{name}/PV", op.type, (), op.outputs), weights, v, False, False, out)


def convolution(fuser: Fuser, op: Op) -> None:
    """Convolution and GroupConvolution, written channels last; depth-wise where each channel is a group."""
    x, w = read_image(fuser, op), fuser.values[op.inputs[1]]
    grouped = op.type == "GroupConvolution"
    strides = tuple(int(s) for s in op.attrs["strides"])
    taps = w.shape[3:] if grouped else w.shape[2:]
    gaps = (int(d) for d in op.attrs["dilations"])
    kernel = tuple((k - 1) * d + 1 for k, d in zip(taps, gaps, strict=True))
    spatial = len(kernel)
    out = channels_last(fuser.fresh(op), spatial)
    window = Window(pair(kernel), pair(strides), _pads(op))
    if grouped and w.shape[0] > 1 and w.shape[1] == 1 and w.shape[2] == 1:
        fuser.emit(op, Depthwise(op.name, op.type, (x, w), out, window=window))
        return
    padded = not grouped and 2 * x.shape[1] > CHANNELS
    weights, n = fuser.graph.tensors[op.inputs[1]], out.shape[1]
    zeros = sparse_zeros(weights, x.shape[1], n, fuser.sparsity, prod(taps), padded)
    read = (
        (1 - zeros)
        * (1 - float(op.attrs.get("zeros", 0)))
        * prod(taps)
        / prod(kernel)
        / (w.shape[0] if grouped else 1)
    )
    made = Conv(
        op.name, op.type, (x, w), out, m=out.elements // n, k=x.shape[1], n=n, window=window, zeros=1 - read
    )  # fmt: skip
    fuser.emit(op, made)


def pool(fuser: Fuser, op: Op) -> None:
    """MaxPool and AvgPool, written channels last. Those of volumes, with windows that overlap and are too large for the
    DPU, and those whose largest elements' places are read, are SHAVE kernels."""
    kernel, strides = (tuple(int(v) for v in op.attrs[k]) for k in ("kernel", "strides"))
    if any(fuser.index.readers[id] or id in fuser.graph.outputs for id in op.outputs[1:]):
        kernels.kernel(fuser, op, "maxpool8")
        return
    largest = op.type == "MaxPool"
    if len(kernel) > 2 or (
        largest and _too_large(fuser.graph.tensors[op.inputs[0]].shape[2:], kernel, strides, _pads(op))
    ):
        kernels.kernel(fuser, op, op.type.lower())
        return
    x = read_image(fuser, op)
    out = channels_last(fuser.fresh(op), len(x.shape) - 2)
    window = Window(pair(kernel), pair(strides), _pads(op))
    fuser.emit(op, Pool(op.name, op.type, (x,), out, window=window, largest=largest))


def _too_large(
    extents: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...], pads: tuple[int, ...]
) -> bool:
    """Whether the windows of a MaxPool are larger than the DPU's and can't be pooled in two steps: those of each axis
    must touch without overlapping, or be one alone; or every window, of odd extents, has its place in the middle, as
    many pixels from each side as an even padding (npu_compiler, handle_large_kernels.cpp)."""
    if max(kernel) <= MAX_KERNEL:
        return False
    apart = all(k in (extent, stride) for extent, k, stride in zip(extents, kernel, strides, strict=True))
    centred = set(strides) == {1} and all(
        k % 2 and not pad % 2 and k == 2 * pad + 1 for k, pad in zip(kernel * 2, pads, strict=True)
    )
    return not apart and not centred


def channels_last(value: Value, spatial: int) -> Value:
    """An NC... value of so many spatial dimensions with its channels innermost in memory."""
    return replace(value, order=tuple(d for d in range(spatial + 2) if d != 1) + (1,))


def pair(extents: tuple[int, ...]) -> tuple[int, int]:
    """Extents of one or two spatial dimensions as those of two."""
    return extents[0], extents[1] if len(extents) > 1 else 1


def _pads(op: Op) -> tuple[int, ...]:
    """Padding before all spatial dimensions, then behind them."""
    return tuple(int(p) for p in (*op.attrs["pads_begin"], *op.attrs["pads_end"]))
