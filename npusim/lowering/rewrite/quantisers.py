"""Graph to Graph before fusion: a tensor that several FakeQuantizes change alike is changed once, for all readers.

Tools that quantise models put one before every reader (the convolution and the sum of a residual block); the compiler
finds those that are equal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from npusim.graph.ir import Graph, Op


def merge_quantisers(graph: Graph) -> Graph:
    """The Graph with the first of several equal FakeQuantizes of a tensor in the place of all that the model does not
    return. Limits that were too large to be kept are equal to none."""
    first: dict[tuple[Any, ...], int] = {}
    instead: dict[int, int] = {}
    for op in graph.ops:
        key = _key(graph, op) if op.type == "FakeQuantize" and op.outputs[0] not in graph.outputs else None
        if key is not None and first.setdefault(key, op.outputs[0]) != op.outputs[0]:
            instead[op.outputs[0]] = first[key]
    ops = (
        replace(op, inputs=tuple(instead.get(id, id) for id in op.inputs))
        for op in graph.ops
        if op.outputs[0] not in instead
    )
    return replace(graph, ops=tuple(ops)) if instead else graph


def _key(graph: Graph, op: Op) -> tuple[Any, ...] | None:
    """What two FakeQuantizes have in common if they do the same."""
    limits = [graph.tensors[id].value for id in op.inputs[1:]]
    if any(limit is None for limit in limits):
        return None
    numbers = tuple((np.shape(limit), np.asarray(limit).tobytes()) for limit in limits)
    return op.inputs[0], tuple(sorted(op.attrs.items())), numbers
