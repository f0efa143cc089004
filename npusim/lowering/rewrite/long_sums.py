"""Graph to Graph before fusion: a product over more terms than a dimension may have becomes a sum of products."""

from __future__ import annotations

from dataclasses import replace

from npusim.graph.ir import BITS, Graph, Op, Tensor
from npusim.lowering.ir.shapes import MAX_DIMENSION
from npusim.lowering.ir.values import ceil_div
from npusim.lowering.rewrite.weights import groups_of

#: Terms of a part are a multiple of so many: a granule of channels, or 16 bytes of narrower weights.
_STEP_TERMS, _STEP_BITS = 16, 128


def split_sums(graph: Graph) -> Graph:
    """The Graph with every MatMul of constant weights over more than ``MAX_DIMENSION`` terms cut into the fewest
    products, as equal as whole granules allow, added up one after another (``ic_tile_1`` and ``accumulator_1`` of the
    compiler: 18,944 terms are 6,336, 6,336 and 6,272 of INT4, and 6,320, 6,320 and 6,304 of FP16 and INT8)."""
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


def parts(graph: Graph, op: Op) -> tuple[int, ...]:
    """The terms of the products that an op is cut into, one a group of terms where its weights have groups; all of them
    for what is no such MatMul, or has too few terms, or groups that are no whole part of them."""
    if op.type != "MatMul" or op.attrs.get("transpose_a"):
        return (1,)
    data, weights = (graph.tensors[id] for id in op.inputs[:2])
    terms, groups = data.shape[-1], groups_of(weights)
    count = max(ceil_div(terms, MAX_DIMENSION), groups)
    if count == 1 or data.constant or not (weights.constant and len(weights.shape) == 2):
        return (terms,)
    if groups > 1:
        return (terms // count,) * count if terms % count == 0 else (terms,)
    step = max(_STEP_TERMS, _STEP_BITS // BITS[weights.stored_dtype])
    length = step * ceil_div(ceil_div(terms, count), step)
    return (*(length for _ in range(count - 1)), terms - length * (count - 1))
