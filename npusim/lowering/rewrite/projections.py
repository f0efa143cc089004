"""Graph to Graph before fusion: a projection whose result is only read in slices becomes one MatMul a slice.

The compiler moves a slice of a convolution's output channels into its weights (``slice_in/.../as_conv`` in all traces
of Mamba and of mamba2-2.7b decode on 4000 and 5010; mamba2-130m, whose last slice has 24 channels, and 3720 keep one
convolution). Output channels are the sliced dimension where a transpose has put them outermost, or where there is one
row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import accumulate, pairwise
from math import prod

import numpy as np

from npusim.graph.ir import Graph, Op, Tensor
from npusim.lowering.ir.shapes import CHANNELS

#: Makes a tensor like another one with another shape, and returns its id.
NewTensor = Callable[[Tensor, tuple[int, ...]], int]


def split_projections(graph: Graph) -> Graph:
    """The Graph with every such MatMul cut; each part stands where its slice is first read."""
    tensors = list(graph.tensors)
    readers: dict[int, list[Op]] = {}
    for op in graph.ops:
        for tensor in op.inputs:
            readers.setdefault(tensor, []).append(op)

    def new(like: Tensor, shape: tuple[int, ...]) -> int:
        tensors.append(replace(like, id=len(tensors), shape=shape, value=None))
        return len(tensors) - 1

    @cache
    def rows_of(weights: int, begin: int, end: int, turned: bool) -> int:
        """The constant that some output channels of another one are: one, however many MatMuls read it (the steps of
        a loop)."""
        like = tensors[weights]
        count = end - begin
        return new(like, (count, like.shape[1]) if turned else (like.shape[0], count))

    gone: set[int] = set()
    before: dict[int, list[Op]] = {}  # id of an op -> what stands before it
    for op in graph.ops:
        found = _pieces(graph, op, readers)
        if found is None:
            continue
        covered, pieces = found
        gone.update(id(o) for o in covered)
        for output, begin, end in pieces:
            first = next(iter(readers.get(output, [])), None)
            if first is not None or output in graph.outputs:
                constant = rows_of(op.inputs[1], begin, end, bool(op.attrs.get("transpose_b")))
                made = _part(graph, covered, output, constant, end - begin, new)
                before.setdefault(id(first) if first is not None else 0, []).extend(made)
    if not gone:
        return graph
    ops = [o for op in graph.ops if id(op) not in gone for o in (*before.get(id(op), ()), op)]
    return replace(graph, tensors=tuple(tensors), ops=(*ops, *before.get(0, ())))


def _pieces(
    graph: Graph, op: Op, readers: dict[int, list[Op]]
) -> tuple[list[Op], list[tuple[int, int, int]]] | None:
    """The ops that a cut MatMul takes with it (itself, a transpose, the slices), and its parts (tensor, begin, end)."""
    weights = graph.tensors[op.inputs[1]] if op.type == "MatMul" else None
    if (
        weights is None
        or not weights.constant
        or len(weights.shape) != 2
        or graph.tensors[op.inputs[0]].constant
    ):
        return None
    covered = [op]
    source = op.outputs[0]
    shape = graph.tensors[source].shape
    axis = len(shape) - 1
    if prod(shape[:-1]) > 1:
        after = readers.get(source, [])
        if len(after) != 1 or after[0].type != "Transpose" or source in graph.outputs:
            return None
        order = graph.tensors[after[0].inputs[1]].value
        if order is None:
            return None
        axis = [int(d) for d in np.reshape(order, -1)].index(axis)
        if prod(graph.tensors[after[0].outputs[0]].shape[:axis]) > 1:
            return None
        covered.append(after[0])
    elif [o.type for o in readers.get(source, [])] == ["Transpose"]:
        order = graph.tensors[readers[source][0].inputs[1]].value
        if order is None:
            return None
        axis = [int(d) for d in np.reshape(order, -1)].index(axis)
        covered.append(readers[source][0])
    source = covered[-1].outputs[0]
    parts: list[tuple[int, int, int]] = []
    for reader in readers.get(source, []):
        cut = _cuts(graph, reader, axis)
        if cut is None:
            return None
        parts += cut
        covered.append(reader)
    alone = source not in graph.outputs and op.outputs[0] not in graph.outputs
    aligned = all(begin % CHANNELS == end % CHANNELS == 0 for _, begin, end in parts)
    return (covered, parts) if alone and aligned and len(parts) > 1 else None


def _cuts(graph: Graph, op: Op, axis: int) -> list[tuple[int, int, int]] | None:
    """The parts that a slicing op takes along an axis."""
    shape = graph.tensors[op.inputs[0]].shape
    if op.type in ("Split", "VariadicSplit"):
        along = graph.tensors[op.inputs[1]].value
        if along is None or int(np.reshape(along, -1)[0]) % len(shape) != axis:
            return None
        sizes = [graph.tensors[o].shape[axis] for o in op.outputs]
        return [(o, b, e) for o, (b, e) in zip(op.outputs, pairwise([0, *accumulate(sizes)]), strict=True)]
    if op.type != "Slice" or len(op.inputs) != 5:
        return None
    values = [graph.tensors[i].value for i in op.inputs[1:]]
    if any(v is None or np.size(v) != 1 for v in values):
        return None
    begin, end, step, along = (int(np.reshape(v, -1)[0]) for v in values)
    size = shape[axis]
    begin, end = (min(max(v + size if v < 0 else v, 0), size) for v in (begin, end))
    return [(op.outputs[0], begin, end)] if step == 1 and along % len(shape) == axis else None


def _part(
    graph: Graph, covered: list[Op], output: int, constant: int, count: int, new: NewTensor
) -> list[Op]:
    """The MatMul (and transpose) that make ``output`` with their own weights; it keeps the name of the whole one, which
    reports know."""
    op = covered[0]
    result = graph.tensors[op.outputs[0]]
    if len(covered) > 1 and covered[1].type == "Transpose":
        middle = new(result, (*result.shape[:-1], count))
        turn = replace(covered[1], inputs=(middle, *covered[1].inputs[1:]), outputs=(output,))
        return [replace(op, inputs=(op.inputs[0], constant), outputs=(middle,)), turn]
    return [replace(op, inputs=(op.inputs[0], constant), outputs=(output,))]
