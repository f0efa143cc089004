"""Rotary position embeddings that a model writes out: one kernel to the compiler where there are several tokens."""

from __future__ import annotations

import numpy as np

from npusim.graph.ir import Op
from npusim.lowering.rewrite.finder import Finder, Found


def rotary(find: Finder, op: Op) -> Found | None:
    """x · cos + concat(-x[second half], x[first half]) · sin, over the last dimension."""
    for straight, turned in (op.inputs, op.inputs[::-1]):
        plain, product = find.made(straight, "Multiply"), find.made(turned, "Multiply")
        if plain is None or product is None:
            continue
        for half, sine in (product.inputs, product.inputs[::-1]):
            joined = find.made(half, "Concat")
            found = _rotated(find, joined) if joined is not None else None
            if joined is None or found is None:
                continue
            x, covered = found
            shape = find.index.tensor(x).shape
            if x in plain.inputs and len(shape) == 4 and shape[-2] > 1:
                cosine = next((i for i in plain.inputs if i != x), x)
                return Op("", "RoPE", (x, cosine, sine), ()), (op, plain, product, joined, *covered)
    return None


def _rotated(find: Finder, joined: Op) -> tuple[int, tuple[Op, ...]] | None:
    """What a Concat turns by a quarter: the negative of its second half, then its first."""
    if len(joined.inputs) != 2:
        return None
    second, first = joined.inputs
    negative = find.made(second, "Negative", "Multiply")
    if negative is None:
        return None
    source = negative.inputs[0] if negative.type == "Negative" else find.number(negative, -1.0)
    high = _half(find, source, second=True) if source is not None else None
    low = _half(find, first, second=False)
    if high is None or low is None or high[0] != low[0]:
        return None
    return low[0], (negative, high[1], low[1])


def _half(find: Finder, tensor: int, *, second: bool) -> tuple[int, Op] | None:
    """What a tensor is the first or second half of, along the last dimension, and the op that takes it."""
    op = find.made(tensor, "Slice", "VariadicSplit", "Split")
    if op is None:
        return None
    whole, part = (find.index.tensor(id).shape for id in (op.inputs[0], tensor))
    if whole[:-1] != part[:-1] or whole[-1] != 2 * part[-1]:
        return None
    if op.type != "Slice":
        return (op.inputs[0], op) if op.outputs.index(tensor) == int(second) else None
    start = find.index.tensor(op.inputs[1]).value
    begins = None if start is None else int(np.reshape(start, -1)[0]) % whole[-1]
    return (op.inputs[0], op) if begins == (part[-1] if second else 0) else None
