"""Which op of a Program reads which: the model's edges, between what the tasks are accounted to."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from npusim.graph.ir import Graph
from npusim.program import Program

#: The numbers of the op that makes a value and of one that reads it.
Edge = tuple[int, int]


def wiring(graph: Graph, program: Program) -> tuple[Edge, ...]:
    """The edges, sorted, each from an earlier op of the Program to a later one.

    Ops of the model that cost nothing (views, constants) hand on what they read. An op that lowering runs in parts
    (``attention/QK``, ``attention/softmax``) is a chain of these. Where ops were fused around another that reads the
    first and is read by the last of them, the way back has no edge.
    """
    parts = _parts(graph, program)
    made: dict[int, frozenset[int]] = defaultdict(frozenset)
    edges: set[Edge] = set()
    for op in graph.ops:
        read = frozenset[int]().union(*(made[tensor] for tensor in op.inputs))
        mine = parts.get(op.name)
        if mine:
            edges.update((source, mine[0]) for source in read)
            edges.update(pairwise(mine))
            read = frozenset((mine[-1],))
        made.update(dict.fromkeys(op.outputs, read))
    return tuple(sorted((source, reader) for source, reader in edges if source < reader))


def _parts(graph: Graph, program: Program) -> dict[str, list[int]]:
    """By the name of an op of the model, the numbers of the Program's ops that stand for it, in their order."""
    known = {op.name for op in graph.ops}
    parts: dict[str, list[int]] = defaultdict(list)
    for number, op in enumerate(program.ops):
        for name in (op.name, *op.fused):
            whole = name if name in known else name.rpartition("/")[0]
            if number not in parts[whole]:
                parts[whole].append(number)
    return parts
