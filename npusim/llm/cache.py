"""Keys and values as the NPU pipeline keeps them: they are read where they lie, and only new rows are written.

Exports join every new row to the past and return the whole. OpenVINO's pipeline returns the new rows alone, which the
host puts into their places, and what is joined costs no pass of its own (evidence/llm.md#3). Here what is joined is
therefore an input of a call, of FP16, and the rows that came in anew are what it returns.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from npusim.graph.ir import Graph, Op, Tensor

#: What may stand between a past and its Concat: a change of type.
_TYPES = ("Convert",)
#: How exporters name remembered values, which the pipeline keeps transposed.
_VALUES = re.compile(r"value(?!s)|\.v\b")


def where_it_lies(graph: Graph, pasts: Collection[str]) -> Graph:
    """The Graph without the Concats that join new rows to what the inputs named ``pasts`` hold."""
    tensors, given = list(graph.tensors), []
    gone: dict[int, Op | None] = {}
    made: dict[int, int] = {}
    source = {out: op for op in graph.ops for out in op.outputs}
    for op in graph.ops:
        past = _past(graph, op, source, pasts)
        if past is None:
            continue
        joined, new = op.outputs[0], op.inputs[1]
        made[joined] = new
        tensors[joined] = _half(replace(tensors[joined], name=tensors[past].name))
        if not _VALUES.search(tensors[past].name):
            gone[id(op)] = None
            given.append(joined)
            continue
        *outer, rows, width = tensors[joined].shape
        turned = replace(tensors[joined], id=len(tensors), shape=(*outer, width, rows))
        order = np.array([*range(len(outer)), len(outer) + 1, len(outer)])
        axes = Tensor(turned.id + 1, f"{op.name}/axes", order.shape, "i64", "i64", True, order)
        tensors += [turned, axes]
        gone[id(op)] = Op(op.name, "Transpose", (turned.id, axes.id), (joined,))
        given.append(turned.id)
    if not given:
        return graph
    kept = [one for op in graph.ops if (one := gone.get(id(op), op)) is not None]
    read = {i for op in kept for i in op.inputs}
    ops = tuple(
        op for op in kept if not (op.type in _TYPES and not set(op.outputs) & (read | set(graph.outputs)))
    )
    read = {i for op in ops for i in op.inputs}
    outputs = tuple(dict.fromkeys(made.get(i, i) for i in graph.outputs))
    inputs = (*(i for i in graph.inputs if i in read or tensors[i].name not in pasts), *given)
    return replace(graph, tensors=tuple(tensors), ops=ops, inputs=inputs, outputs=outputs)


def _past(graph: Graph, op: Op, source: dict[int, Op], pasts: Collection[str]) -> int | None:
    """The input whose rows this Concat puts before others."""
    if op.type != "Concat" or len(op.inputs) != 2:
        return None
    first = op.inputs[0]
    while first in source and source[first].type in _TYPES:
        first = source[first].inputs[0]
    return first if first in graph.inputs and graph.tensors[first].name in pasts else None


def _half(tensor: Tensor) -> Tensor:
    """A cache is kept in FP16."""
    return replace(tensor, dtype="f16", stored_dtype="f16")
