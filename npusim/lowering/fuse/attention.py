"""Attention that runs head by head (evidence/lowering.md#1.5, #6.3), alone or with its projections (``PerHead``).

Of those the compiler computes all keys first, head by head, and then for every head its query, Q K^T, the softmax (as
the value is projected) and P V, so that no score matrix is larger than one head's. Queries that do not go straight into
Q K^T come before the keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np

from npusim.graph.ir import Op
from npusim.hardware.schema import Software
from npusim.lowering.fuse.fuser import Fuser, full_order
from npusim.lowering.ir.convolution import fold_rows
from npusim.lowering.ir.nodes import AttentionKernel, Bmm, Concat, Conv, Copy, Eltwise, Node, Scale, Unary
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import Value, round_up
from npusim.lowering.rewrite.unroll import path_to_projection

#: Scores, their softmax and what it weighs are FP16 (with 8-bit operands too: Q K^T reads 8 bits and writes 16).
FLOAT_BITS = 16
#: Heads from which an attention is compiled as a function of its own: 8 are not, 9 are.
OUTLINED_HEADS = 9
#: Width that the rows of a product of two activations are folded to. A query that its projection folds otherwise is
#: seen through a view, and stays where that is.
SCORES_FOLD = 4
#: Memory order of [batch, heads, rows, width] whose heads lie beside each other, row by row.
ROWS_FIRST = (0, 2, 1, 3)


def projections(op: Op, values: list[Value], made: dict[int, Node]) -> list[Conv] | None:
    """The MatMuls that make query, key and value of an attention that is cut with them (``rewrite.unroll``)."""
    if not op.attrs.get("per_head"):
        return None
    found = [n for v in values if isinstance(n := made.get(v.storage), Conv) and n.window is None]
    return found if len(found) == 3 and len({n.inputs[0].storage for n in found}) == 1 else None


class PerHead:
    """Makes the nodes of one attention. ``storages`` hands out a new storage at each call."""

    def __init__(
        self, op: Op, parts: list[Conv], query: Value, storages: Callable[[], int], software: Software
    ) -> None:
        """Cut the attention of ``op`` whose projections are ``parts`` (query, key, value). One of floats and many heads
        becomes a function of its own, for which the one before it copies its results in DDR."""
        self.op, self.parts = op, parts
        self.heads, self.rows, self.width = query.shape[-3:]
        many = self.heads >= OUTLINED_HEADS and query.bits == FLOAT_BITS
        self.outlined = software.outlined_attention and many
        self.scaled = bool(op.attrs.get("scaled"))
        self.queries_first = self.scaled or software.row_fold != SCORES_FOLD
        self.fresh = storages

    def value(self, shape: tuple[int, ...], bits: int) -> Value:
        """A new value."""
        return Value(self.fresh(), shape, bits, bits)

    def project(self, part: Conv, bits: int) -> Conv:
        """One head of a projection, with results of so many bits."""
        source, weights = part.inputs[:2]
        out = self.value((self.rows, self.width), bits)
        storage = self.fresh() if weights.stored_bits == FLOAT_BITS else weights.storage
        own = replace(weights, storage=storage, shape=(self.width, part.k))
        return replace(part, inputs=(source, own), output=out, n=self.width, shared=True)

    def query(self, part: Conv) -> list[Node]:
        """One head's query, and its scale where that is a task of its own."""
        made = self.project(part, part.output.bits)
        if not self.scaled:
            return [made]
        factor = Value(self.fresh(), (), constant=True)
        out = self.value(made.output.shape, made.output.bits)
        name = f"{self.op.name}/scale_query"
        return [made, Scale(name, self.op.type, (made.output, factor), out, axis=None, any_order=True)]

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
        first = [self.query(query) for _ in range(self.heads)] if self.queries_first else []
        keys = [self.project(key, key.output.bits) for _ in range(self.heads)]
        nodes += [*(node for made in first for node in made), *keys]
        pieces = []
        for head in range(self.heads):
            q = first[head] if first else self.query(query)
            scores = self.product("QK", q[-1].output, keys[head].output, self.rows, self.width)
            weights = self.value(scores.output.shape, scores.output.bits)
            name = f"{self.op.name}/softmax"
            soft = Unary(name, self.op.type, (scores.output,), weights, kernel="softmax", axis=1)
            v = self.project(value, FLOAT_BITS)
            out = self.product("PV", weights, v.output, self.width, self.rows)
            nodes += [*([] if first else q), scores, v, soft, out]
            pieces.append(out.output)
        joined = replace(output, order=ROWS_FIRST)
        nodes.append(Concat(self.op.name, self.op.type, tuple(pieces), joined, axis=1))
        if self.outlined:
            nodes[1:] = [replace(node, region="attention") for node in nodes[1:]]
        return nodes, joined


def one_kernel(fuser: Fuser, op: Op, operands: tuple[Value, Value, Value], out: Value) -> None:
    """All of an attention by one kernel, whose values are transposed first."""
    q, k, v = operands
    k = fuser.plain(k, op)
    v = fuser.move(v, full_order(v, [len(v.shape) - 1, len(v.shape) - 2]), op)
    masks = [fuser.plain(fuser.values[id], op) for id in op.inputs[3:4]]
    fuser.emit(op, AttentionKernel(op.name, op.type, (q, k, v, *masks), out))


def head_by_head(fuser: Fuser, op: Op, operands: tuple[Value, Value, Value], out: Value) -> None:
    """One head after the other: scores stay in CMX, their rows as the tiles share them and their columns as the DPU
    writes them, padded. The heads may add one mask. Values that come last are projected and permuted when the weights
    of all heads wait for them."""
    q, k, v = operands
    masks = [fuser.values[id] for id in op.inputs[3:4] if op.attrs.get("by_head")]
    (rows, depth), width = q.shape[-2:], v.shape[-1]
    height = prod(fold_rows(rows, fuser.software.row_fold))
    wide = round_up(k.shape[-2], CHANNELS)
    k = fuser.move(k, full_order(k, [len(k.shape) - 2, len(k.shape) - 1]), op)
    later = _taken_back(fuser, op.inputs[2]) if op.attrs.get("values_last") else []

    def values() -> Value:
        return fuser.move(v, full_order(v, [len(v.shape) - 1, len(v.shape) - 2]), op)

    def result(weights: Value, value: Value) -> Value:
        piece = Value(fuser.storage(), (height, width))
        seen = replace(value, shape=(width, wide), order=(), partial=True)
        fuser.add(Bmm(f"{op.name}/PV", op.type, (weights, seen), piece, m=height, n=width, k=wide))
        return replace(piece, shape=(rows, width), partial=height > rows)

    early = None if later else values()
    made = []
    for _ in range(prod(q.shape[:-2])):
        query, key = (replace(x, shape=s, order=(), partial=True) for x, s in
                      ((q, (height, depth)), (k, (wide, depth))))  # fmt: skip
        scores = Value(fuser.storage(), (height, wide))
        fuser.add(Bmm(f"{op.name}/QK", op.type, (query, key), scores, m=height, n=wide, k=depth))
        for mask in masks:
            seen = replace(mask, shape=scores.shape if mask.elements > 1 else (), order=())
            masked = Value(fuser.storage(), scores.shape)
            fuser.add(Eltwise(f"{op.name}/mask_add", op.type, (scores, seen), masked, kernel="add"))
            scores = masked
        weights = Value(fuser.storage(), scores.shape)
        fuser.add(Unary(f"{op.name}/softmax", op.type, (scores,), weights, kernel="softmax", axis=1))
        made.append(weights if early is None else result(weights, early))
    if later:
        for node in later:
            fuser.add(node)
        last = values()
        made = [result(weights, last) for weights in made]
    if _read_by_rows(fuser, op):
        out = replace(out, order=ROWS_FIRST)
    fuser.emit(op, Concat(op.name, op.type, tuple(made), out, axis=len(out.shape) - 3))


def _read_by_rows(fuser: Fuser, op: Op) -> bool:
    """Whether the only reader of an attention of one batch puts its heads beside each other, row by row."""
    readers = fuser.readers.get(op.outputs[0], [])
    if len(readers) != 1 or readers[0].type != "Transpose" or op.outputs[0] in fuser.graph.outputs:
        return False
    order = fuser.graph.tensors[readers[0].inputs[1]].value
    return order is not None and tuple(np.reshape(order, -1)) == ROWS_FIRST


def _taken_back(fuser: Fuser, tensor: int) -> list[Node]:
    """The nodes that project a tensor, which are to come later."""
    path = path_to_projection(fuser.index, tensor)
    storages = dict.fromkeys(fuser.values[op.outputs[0]].storage for op in reversed(path))
    return [fuser.made.pop(storage) for storage in storages if storage in fuser.made]
