"""Graph to Graph before fusion: a product over more terms than a dimension may have becomes a sum of products."""

from __future__ import annotations

from dataclasses import replace

from npusim.graph.ir import Graph, Op, Tensor
from npusim.lowering.ir.shapes import MAX_DIMENSION
from npusim.lowering.ir.values import ceil_div
from npusim.lowering.rewrite.weights import groups_of


def split_sums(graph: Graph) -> Graph:
    """The Graph with every MatMul of constant weights over more than ``MAX_DIMENSION`` terms cut into the fewest equal
    ones, added up one after another (``ic_tile_1`` and ``accumulator_1`` of the compiler: 9,216, 14,336 and 25,088
    terms in 2, 2 and 4 parts on 3720, 4000 and 5010)."""
    tensors, ops = list(graph.tensors), []

    def new(like: Tensor, shape: tuple[int, ...]) -> int:
        tensors.append(replace(like, id=len(tensors), shape=shape, value=None))
        return len(tensors) - 1

    for op in graph.ops:
        count = parts(graph, op)
        if count == 1:
            ops.append(op)
            continue
        data, weights, result = (graph.tensors[id] for id in (*op.inputs[:2], op.outputs[0]))
        terms, across = data.shape[-1] // count, bool(op.attrs.get("transpose_b"))
        rows = [new(data, (*data.shape[:-1], terms)) for _ in range(count)]
        weights = replace(weights, coding=replace(weights.coding, groups=1))
        shape = (weights.shape[0], terms) if across else (terms, weights.shape[1])
        products = [new(result, result.shape) for _ in range(count)]
        sums = [products[0], *(new(result, result.shape) for _ in range(count - 2)), op.outputs[0]]
        ops.append(Op(op.name, "Split", (data.id,), tuple(rows)))
        for i, (row, product) in enumerate(zip(rows, products, strict=True)):
            ops.append(replace(op, inputs=(row, new(weights, shape)), outputs=(product,)))
            if i:
                ops.append(Op(op.name, "Add", (sums[i - 1], product), (sums[i],)))
    return replace(graph, tensors=tuple(tensors), ops=tuple(ops)) if len(ops) > len(graph.ops) else graph


def parts(graph: Graph, op: Op) -> int:
    """Into how many products an op is cut, where its weights have groups of terms into as many; 1 for what is no such
    MatMul, or cannot be cut evenly."""
    if op.type != "MatMul" or op.attrs.get("transpose_a"):
        return 1
    data, weights = (graph.tensors[id] for id in op.inputs[:2])
    count = max(ceil_div(data.shape[-1], MAX_DIMENSION), groups_of(weights))
    even = weights.constant and len(weights.shape) == 2 and not data.constant and data.shape[-1] % count == 0
    return count if even else 1
