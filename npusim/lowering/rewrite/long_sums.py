"""Graph to Graph before fusion: a product over more terms than a dimension may have, or than leave room for two slices,
or that would be loaded again and again, becomes a sum of products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from npusim.graph.ir import BITS, Graph, Op, Tensor
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import fold_rows
from npusim.lowering.ir.plan import cmx_capacity
from npusim.lowering.ir.shapes import MAX_DIMENSION
from npusim.lowering.ir.values import ceil_div
from npusim.lowering.rewrite.weights import groups_of

#: Terms of a part are a multiple of so many: a granule of channels, or 16 bytes of narrower weights.
_STEP_TERMS, _STEP_BITS = 16, 128
#: Bits of weights that are multiplied as they are: products by others are not cut for what is loaded again.
_WIDE = 16
#: Rows, columns and channels of the smallest slice that keeps the DPU busy.
_SIDE, _CHANNELS = 8, 64
#: What of CMX is no room for slices, bytes: of products of 16 rows 7,632 terms stay together and 7,648 do not.
_KEPT_BYTES = 1_536


def split_sums(graph: Graph, parts: Callable[[Graph, Op], tuple[int, ...]]) -> Graph:
    """The Graph with every op that has several ``parts`` of its terms as so many products, added up one after another
    (``ic_tile_1`` and ``accumulator_1`` of the compiler)."""
    tensors, ops = list(graph.tensors), []

    def new(like: Tensor, shape: tuple[int, ...]) -> int:
        tensors.append(replace(like, id=len(tensors), shape=shape, value=None))
        return len(tensors) - 1

    for op in graph.ops:
        terms = parts(graph, op)
        if len(terms) == 1:
            ops.append(op)
            continue
        data, weights, result = (graph.tensors[id] for id in (*op.inputs[:2], op.outputs[0]))
        across = bool(op.attrs.get("transpose_b"))
        rows = [new(data, (*data.shape[:-1], length)) for length in terms]
        weights = replace(weights, coding=replace(weights.coding, groups=1))
        shapes = [(weights.shape[0], n) if across else (n, weights.shape[1]) for n in terms]
        products = [new(result, result.shape) for _ in terms]
        sums = [products[0], *(new(result, result.shape) for _ in terms[2:]), op.outputs[0]]
        ops.append(Op(op.name, "Split", (data.id,), tuple(rows)))
        for i, (row, shape, product) in enumerate(zip(rows, shapes, products, strict=True)):
            ops.append(replace(op, inputs=(row, new(weights, shape)), outputs=(product,)))
            if i:
                ops.append(Op(op.name, "Add", (sums[i - 1], product), (sums[i],)))
    return replace(graph, tensors=tuple(tensors), ops=tuple(ops)) if len(ops) > len(graph.ops) else graph


def most_terms(rows: int, channels: int, weight_bits: int, bits: int, hw: Hardware) -> int:
    """Terms that a product may add up at once. Where the compiler looks ahead (``sums_overlap``), so many that results
    of two of the smallest slices that keep the DPU busy fit CMX, and both operands, the smaller one twice: so the next
    slice is loaded while one is computed."""
    if not hw.software.tiling.sums_overlap:
        return MAX_DIMENSION
    height, width = fold_rows(rows, hw.software.row_fold, rows * channels)
    pixels, granule = min(height, _SIDE) * min(width, _SIDE), min(channels, _CHANNELS)
    row, column = pixels * bits // 8, granule * weight_bits // 8
    room = cmx_capacity(hw) - _KEPT_BYTES - 2 * granule * pixels * bits // 8
    step = _step(weight_bits)
    return min(MAX_DIMENSION, max(step, room // (row + column + min(row, column)) // step * step))


def _step(weight_bits: int) -> int:
    return max(_STEP_TERMS, _STEP_BITS // weight_bits)


def short_parts(hw: Hardware, graph: Graph, op: Op) -> tuple[int, ...]:
    """The terms of the products that an op is cut into, one a group of terms where its weights have groups, and the
    fewest of ``most_terms``; all of them for what is no product by constants, or has too few terms, or groups that are
    no whole part of them."""
    if not _by_constants(graph, op):
        return (1,)
    rows, terms, channels = _sizes(graph, op)
    weights = graph.tensors[op.inputs[1]]
    bits, groups = BITS[weights.stored_dtype], groups_of(weights)
    most = most_terms(rows, channels, bits, min(BITS[graph.tensors[op.inputs[0]].dtype], 16), hw)
    count = max(ceil_div(terms, most), groups)
    if groups > 1:
        return (terms // count,) * count if terms % count == 0 else (terms,)
    return _equal(terms, count, bits)


def reloaded_parts(pieces: Callable[[int, int, int], int], graph: Graph, op: Op) -> tuple[int, ...]:
    """The same of what would be loaded again and again: as many as ``pieces`` says of rows, terms and channels."""
    if not _by_constants(graph, op) or BITS[graph.tensors[op.inputs[1]].stored_dtype] != _WIDE:
        return (1,)
    rows, terms, channels = _sizes(graph, op)
    return _equal(terms, pieces(rows, terms, channels), _WIDE)


def _by_constants(graph: Graph, op: Op) -> bool:
    if op.type != "MatMul" or op.attrs.get("transpose_a"):
        return False
    data, weights = (graph.tensors[id] for id in op.inputs[:2])
    return not data.constant and weights.constant and len(weights.shape) == 2


def _sizes(graph: Graph, op: Op) -> tuple[int, int, int]:
    """Rows, terms and channels of a product by constants."""
    data, weights = (graph.tensors[id] for id in op.inputs[:2])
    terms = data.shape[-1]
    return data.elements // terms, terms, weights.elements // terms


def _equal(terms: int, count: int, weight_bits: int) -> tuple[int, ...]:
    """So many parts, as equal as whole granules allow: 18,944 terms are 6,336, 6,336 and 6,272 of INT4, and 6,320,
    6,320 and 6,304 of FP16 and INT8."""
    step = _step(weight_bits)
    length = step * ceil_div(ceil_div(terms, count), step)
    return (*(length for _ in range(count - 1)), terms - length * (count - 1))
