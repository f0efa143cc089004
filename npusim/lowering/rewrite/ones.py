"""Graph to Graph before fusion: sums that are written as products with ones become ReduceSums again.

The pattern is that of xamba.reduba: a MatMul of a product with a constant vector of ones, between Reshapes that merge
and restore the other axes. Only sums of outer products are folded, which then become MatMuls of the factors.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from npusim.graph.ir import Graph, Op, Tensor
from npusim.lowering.rewrite.patterns import Index, is_outer


def fold_ones(graph: Graph) -> Graph:
    """The Graph with each such sum as one ReduceSum, whose attribute ``ones`` says where it comes from."""
    index = Index(graph)
    tensors = list(graph.tensors)
    inside: set[int] = set()  # identities of ops that are gone
    swap: dict[int, Op] = {}  # identity of an op -> what stands in its place
    for op in graph.ops:
        found = _sum(index, op) if op.type == "MatMul" else None
        if found is None:
            continue
        product, axis, covered = found
        axes = Tensor(
            len(tensors), f"{op.name}/axes", (1,), "i64", "i64", constant=True, value=np.array([axis])
        )
        tensors.append(axes)
        last = covered[-1]
        inside.update(id(o) for o in covered)
        inputs = (product.outputs[0], axes.id)
        swap[id(last)] = Op(last.name, "ReduceSum", inputs, last.outputs, {"ones": True})
    ops = (swap.get(id(op), op) for op in graph.ops if id(op) in swap or id(op) not in inside)
    return replace(graph, tensors=tuple(tensors), ops=tuple(ops)) if inside else graph


def _sum(index: Index, matmul: Op) -> tuple[Op, int, tuple[Op, ...]] | None:
    """The product that a MatMul with ones sums, the axis of it, and the ops after the product, the last of which makes
    the sum."""
    split = index.split_constant(matmul)
    if split is None:
        return None
    source, ones = (index.tensor(i) for i in split)
    last_axis = source.id == matmul.inputs[0]
    as_written = (matmul.attrs["transpose_a"], matmul.attrs["transpose_b"]) == (False, last_axis)
    if (
        not as_written
        or ones.shape != (1, ones.elements)
        or ones.value is None
        or not np.all(ones.value == 1)
    ):
        return None
    merge = index.made_by(source.id, "Reshape")
    product = index.made_by(merge.inputs[0] if merge else source.id, "Multiply")
    if product is None:
        return None
    shape = index.tensor(product.outputs[0]).shape
    before = prod(source.shape[: -1 if last_axis else -2])
    axis = next((d for d, n in enumerate(shape) if n == ones.elements and prod(shape[:d]) == before), None)
    if axis is None or not is_outer(index, product, axis):
        return None
    ops = (*((merge,) if merge else ()), matmul)
    after = index.reader.get(matmul.outputs[0]) if index.readers[matmul.outputs[0]] == 1 else None
    if after is not None and after.type == "Reshape":
        ops = (*ops, after)
    one = (*shape[:axis], 1, *shape[axis + 1 :])
    dropped = (*shape[:axis], *shape[axis + 1 :])
    return (product, axis, ops) if index.tensor(ops[-1].outputs[0]).shape in (one, dropped) else None
