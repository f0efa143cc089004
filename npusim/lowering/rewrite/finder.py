"""Looking backwards from an op for the form that it is the end of."""

from __future__ import annotations

from collections import defaultdict
from math import isclose

import numpy as np

from npusim.graph.ir import Graph, Op
from npusim.lowering.rewrite.patterns import Index

#: How far a constant of a formula may lie from the exact one: FP16 rounds to 0.05 %.
ROUNDING = 2e-3


Found = tuple[Op, tuple[Op, ...]]
"""The op that stands for a written-out one (its name and outputs are filled in), and the ops that it covers."""


class Finder:
    """Looks backwards from an op, through ops that may have several readers."""

    def __init__(self, graph: Graph) -> None:
        """Index a Graph."""
        self.index = Index(graph)
        self.outputs = set(graph.outputs)
        self.consumers: dict[int, list[Op]] = defaultdict(list)
        for op in graph.ops:
            for id in dict.fromkeys(op.inputs):
                self.consumers[id].append(op)

    def closed(self, covered: set[int], root: Op) -> bool:
        """Whether nobody outside reads what the covered ops make, but for the root."""
        makers = {t: op for t, op in self.index.maker.items() if id(op) in covered and op is not root}
        return not any(
            t in self.outputs or any(id(reader) not in covered for reader in self.consumers[t])
            for t in makers
        )

    def made(self, tensor: int, *types: str) -> Op | None:
        """The op that makes a tensor, if it has one of the types."""
        op = self.index.maker.get(tensor)
        return op if op is not None and op.type in types else None

    def number(self, op: Op | None, value: float) -> int | None:
        """The operand of a binary op whose other operand is this number."""
        if op is None or len(op.inputs) != 2:
            return None
        for operand, constant in (op.inputs, op.inputs[::-1]):
            found = self.index.scalar(constant)
            if found is not None and isclose(found, value, rel_tol=ROUNDING):
                return operand
        return None

    def shifted(self, tensor: int) -> tuple[int, Op] | None:
        """What a small number is added to, and the Add."""
        add = self.made(tensor, "Add")
        split = self.index.split_constant(add) if add else None
        if add is None or split is None or self.index.scalar(split[1]) is None:
            return None
        return split[0], add

    def squared(self, tensor: int, by: tuple[str, ...]) -> tuple[int, Op] | None:
        """What a tensor is the square of, written as Power or as a product, and the op."""
        op = self.made(tensor, *by)
        if op is None:
            return None
        if op.type == "Multiply":
            return (op.inputs[0], op) if op.inputs[0] == op.inputs[1] else None
        return (op.inputs[0], op) if self.index.scalar(op.inputs[1]) == 2.0 else None

    def axes(self, reduction: Op) -> list[int] | None:
        """The axes that an op reduces, ascending; None where they are not known."""
        found = self.index.tensor(reduction.inputs[1]).value
        rank = len(self.index.tensor(reduction.inputs[0]).shape)
        return None if found is None else sorted(int(axis) % rank for axis in np.reshape(found, -1))

    def factors(self, op: Op) -> tuple[list[int], list[Op]]:
        """The factors of a product of products, and the ops that multiply them; constants among them divided out."""
        inputs, covered = [], [op]
        for operand in op.inputs:
            inner = self.index.made_by(operand, "Multiply")
            if inner is None or inner.inputs[0] == inner.inputs[1]:
                inputs.append(operand)
                continue
            more, ops = self.factors(inner)
            inputs += more
            covered += ops
        return inputs, covered
