"""Attention whose query, key and value are projections of one input: cut per head (evidence/lowering.md#1.5, #6.3).

The compiler computes all keys first, head by head, and then for every head its query, Q K^T, the softmax (while the
value is projected) and P V, so that no score matrix is larger than one head's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from npusim.graph.ir import Op
from npusim.lowering.ir.nodes import Bmm, Concat, Conv, Copy, Node, Unary
from npusim.lowering.ir.values import Value
from npusim.lowering.rewrite.attention import projected
from npusim.lowering.rewrite.patterns import Index

#: Scores, their softmax and what it weighs are FP16 (with 8-bit operands too: Q K^T reads 8 bits and writes 16).
FLOAT_BITS = 16


def projections(index: Index, op: Op, values: list[Value], made: dict[int, Node]) -> list[Conv] | None:
    """The MatMuls that make query, key and value, where all three read one tensor and nobody else reads them."""
    if op.attrs.get("by_head") or not projected(index, op):
        return None
    found = [n for v in values if isinstance(n := made.get(v.storage), Conv) and n.window is None]
    return found if len(found) == 3 and len({n.inputs[0].storage for n in found}) == 1 else None


class PerHead:
    """Makes the nodes of one attention. ``storages`` hands out a new storage at each call."""

    def __init__(
        self, op: Op, parts: list[Conv], query: Value, storages: Callable[[], int], outlined: bool
    ) -> None:
        """Cut the attention of ``op`` whose projections are ``parts`` (query, key, value); ``outlined``: it becomes a
        function of its own if it is of floats, for which the one before it copies its results in DDR."""
        self.op, self.parts = op, parts
        self.outlined = outlined and query.bits == FLOAT_BITS
        self.heads, self.rows, self.width = query.shape[-3:]
        self.fresh = storages

    def value(self, shape: tuple[int, ...], bits: int) -> Value:
        """A new value."""
        return Value(self.fresh(), shape, bits, bits)

    def project(self, part: Conv, bits: int) -> Conv:
        """One head of a projection, with results of so many bits."""
        source, weights = part.inputs[:2]
        out = self.value((self.rows, self.width), bits)
        own = replace(weights, shape=(self.width, part.k))
        return replace(part, inputs=(source, own), output=out, n=self.width, shared=True)

    def product(self, name: str, a: Value, b: Value, n: int, k: int) -> Node:
        """One head's MatMul of two activations; ``b`` was written with k innermost."""
        out = self.value((self.rows, n), FLOAT_BITS)
        return Bmm(f"{self.op.name}/{name}", self.op.type, (a, b), out, m=self.rows, n=n, k=k)

    def nodes(self, output: Value) -> tuple[list[Node], Value]:
        """All nodes in order, and the attention's output as they leave it: rows x heads x width in memory."""
        query, key, value = self.parts
        nodes: list[Node] = []
        if self.outlined:
            source = query.inputs[0]
            copied = replace(source, storage=self.fresh())
            nodes.append(Copy(query.name, query.type, (source, source), copied))
            query, key, value = (replace(p, inputs=(copied, *p.inputs[1:])) for p in self.parts)
        keys = [self.project(key, key.output.bits) for _ in range(self.heads)]
        nodes += keys
        pieces = []
        for head in range(self.heads):
            q = self.project(query, query.output.bits)
            scores = self.product("QK", q.output, keys[head].output, self.rows, self.width)
            weights = self.value(scores.output.shape, scores.output.bits)
            name = f"{self.op.name}/softmax"
            soft = Unary(name, self.op.type, (scores.output,), weights, kernel="softmax", axis=1)
            v = self.project(value, FLOAT_BITS)
            out = self.product("PV", weights, v.output, self.width, self.rows)
            nodes += [q, scores, v, soft, out]
            pieces.append(out.output)
        joined = replace(output, order=(0, 2, 1, 3))
        nodes.append(Concat(self.op.name, self.op.type, tuple(pieces), joined, axis=1))
        if self.outlined:
            nodes[1:] = [replace(node, region="attention") for node in nodes[1:]]
        return nodes, joined
