"""How products of broadcast factors lie: as a transpose before them has it where they are summed at once, and folded to
fewer dimensions where none of the factors is full."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from npusim.graph.ir import Op
from npusim.lowering.fuse.fuser import Fuser, same_order
from npusim.lowering.ir.values import Value


def summed_order(fuser: Fuser, op: Op, inputs: list[Value]) -> tuple[int, ...]:
    """The memory order of a product that is summed at once, where both factors have the summed dimension exchanged
    with the one before it: the compiler drops both transposes, and sums over the other dimension instead."""
    readers = fuser.readers.get(op.outputs[0], [])
    if op.type != "Multiply" or len(readers) != 1 or readers[0].type != "ReduceSum":
        return ()
    rank = len(inputs[0].shape)
    axes = fuser.axes(readers[0].inputs[1], rank)
    if len(axes) != 1 or axes[0] == 0 or any(v.constant or v.plain for v in inputs):
        return ()
    axis = axes[0]
    order = (*range(axis - 1), axis, axis - 1, *range(axis + 1, rank))
    return order if all(same_order(v, order) for v in inputs) else ()


def folded(fuser: Fuser, op: Op, inputs: list[Value], out: Value) -> tuple[list[Value], Value]:
    """A product of operands of which none is full as the compiler folds it: what the kernel reads and writes. The op's
    result is what it writes in the shape of the model."""
    way = out.order or range(len(out.shape))
    lying = [replace(v, shape=tuple(v.shape[d] for d in way), order=()) for v in (*inputs, out)]
    *factors, whole = lying
    merged = [v.reshaped(s) for v, s in zip(factors, _merged(factors, whole.shape), strict=True)]
    read = [v for v in merged if v is not None]
    if len(read) < len(factors):
        return inputs, out
    written = replace(whole, shape=tuple(map(max, *(v.shape for v in read))))
    if written.elements < whole.elements:  # all factors are broadcast along some dimension
        return inputs, out
    fuser.values[op.outputs[0]] = out
    return read, written


def _merged(inputs: list[Value], shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shapes of operands of which none is full, with neighbouring dimensions that the same ones are broadcast along
    as one dimension: the tiles share what then comes first. Four dimensions that make three stay as they are where the
    first is longer than the last: every tile computes all of such a batch.
    """
    wide = [d for d, size in enumerate(shape) if size > 1]
    runs: list[list[int]] = []
    for d in wide:
        alike = runs and all((v.shape[d] > 1) == (v.shape[runs[-1][0]] > 1) for v in inputs)
        runs[-1].append(d) if alike else runs.append([d])
    if len(wide) == 4 and len(runs) == 3 and shape[wide[0]] > shape[wide[-1]]:
        runs = [[d] for d in wide]
    return [tuple(prod(v.shape[d] for d in run) for run in runs) for v in inputs]
