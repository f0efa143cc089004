"""Attention as the compiler rewrites it: the scale moves to the query, the mask is brought to the shape of the scores
before it is added, and keys and values that are repeated for groups of heads are read once.

A written-out softmax(Q Kᵀ · scale + mask) V is found by its ops, as OpenVINO's SDPA fusion does before the compiler
takes it apart again (openvino: transformations/common_optimizations/sdpa_fusion.hpp); an op that is attention already
is taken apart where it has a mask or repeated heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from npusim.graph.ir import Graph, Op, Tensor
from npusim.lowering.rewrite.patterns import Index

PLAIN = {"transpose_a": False, "transpose_b": False}
TRANSPOSED = {"transpose_a": False, "transpose_b": True}
#: Attribute of a scale whose reader takes its result in any order of the elements.
ANY_ORDER = {"any_order": True}


@dataclass(frozen=True, slots=True)
class Attention:
    """One attention of a Graph: the tensors ``query``, ``key``, ``value`` and ``mask`` (None: none), the constant
    that scales the scores (None: nothing does, -1: 1 / sqrt of the depth of the query), how many query heads share each
    head of keys (``group``), and the ops that make it, the last of which is ``root``."""

    query: int
    key: int
    value: int
    mask: int | None
    scale: int | None
    group: int
    root: Op
    covered: tuple[Op, ...]


def share_heads(graph: Graph) -> Graph:
    """The Graph with every attention laid out as the compiler does."""
    index = Index(graph)
    found = {id(one.root): one for op in graph.ops if (one := _attention(index, op))}
    if not found:
        return graph
    gone = {id(op) for one in found.values() for op in one.covered}
    maker = _Maker(graph)
    for op in graph.ops:
        if id(op) in found:
            maker.lay_out(found[id(op)])
        elif id(op) not in gone:
            maker.ops.append(op)
    return replace(graph, tensors=tuple(maker.tensors), ops=tuple(maker.ops))


# -- finding ----------------------------------------------------------------------------------------------------------


def _attention(index: Index, op: Op) -> Attention | None:
    found = _fused(index, op) if op.type == "ScaledDotProductAttention" else _written(index, op)
    if found is None:
        return None
    query, key, value = (index.tensor(id).shape for id in (found.query, found.key, found.value))
    if not 3 <= len(query) == len(key) == len(value) <= 4 or query[:-2] != key[:-2] or key[:-2] != value[:-2]:
        return None
    keys, values = (_repeated(index, id) for id in (found.key, found.value))
    if keys is None or values is None or keys[1] != values[1]:
        return found
    repeats = (*keys[2], *values[2])
    return replace(found, key=keys[0], value=values[0], group=keys[1], covered=(*found.covered, *repeats))


def _fused(index: Index, op: Op) -> Attention | None:
    """An op that is attention: with a mask, or repeated keys; any other is left to fusion."""
    query, key, value, *rest = op.inputs
    if op.attrs.get("causal") or len(rest) > 1:
        return None
    if not rest and _repeated(index, key) is None:
        return None
    return Attention(query, key, value, rest[0] if rest else None, -1, 1, op, (op,))


def _written(index: Index, op: Op) -> Attention | None:
    """Two MatMuls with a softmax of the scores between them, which may be scaled and have a mask added before it."""
    if op.type != "MatMul" or op.attrs.get("transpose_a") or op.attrs.get("transpose_b"):
        return None
    softmax = index.made_by(op.inputs[0], "Softmax")
    rank = len(index.tensor(op.outputs[0]).shape)
    if softmax is None or int(softmax.attrs.get("axis", 1)) % rank != rank - 1:
        return None
    scores, covered = softmax.inputs[0], [op, softmax]
    mask: int | None = None
    scale: int | None = None
    add = index.made_by(scores, "Add")
    if add is not None:
        parts = [id for id in add.inputs if index.made_by(id, "MatMul", "Multiply", "Divide")]
        if len(parts) != 1:
            return None
        (scores,) = parts
        (mask,) = [id for id in add.inputs if id != scores]
        covered.append(add)
    multiply = index.made_by(scores, "Multiply")
    if multiply is not None:
        split = index.split_constant(multiply)
        if split is None or index.tensor(split[1]).elements != 1:
            return None
        scores, scale = split
        covered.append(multiply)
    product = index.made_by(scores, "MatMul")
    if product is None or product.attrs.get("transpose_a") or not product.attrs.get("transpose_b"):
        return None
    if any(index.tensor(id).constant for id in (*product.inputs, op.inputs[1])):
        return None
    covered.append(product)
    query, key = product.inputs
    found = Attention(query, key, op.inputs[1], mask, scale, 1, op, tuple(covered))
    changed = scale is not None or mask is not None or _repeated(index, found.key) is not None
    return found if changed else None


def _repeated(index: Index, id: int) -> tuple[int, int, tuple[Op, ...]] | None:
    """What a tensor [1, heads, ...] is a repetition of, head by head: that tensor, how often, and the ops between."""
    reshape = index.made_by(id, "Reshape")
    repeat = index.made_by(reshape.inputs[0], "Broadcast") if reshape else None
    unsqueeze = index.made_by(repeat.inputs[0], "Unsqueeze", "Reshape") if repeat else None
    if reshape is None or repeat is None or unsqueeze is None:
        return None
    source, one, many, whole = (
        index.tensor(i).shape
        for i in (unsqueeze.inputs[0], repeat.inputs[0], repeat.outputs[0], reshape.outputs[0])
    )
    if len(source) != 4 or len(many) != 5:
        return None
    batch, heads, length, depth = source
    group = many[2]
    right = one == (batch, heads, 1, length, depth) and many == (batch, heads, group, length, depth)
    if not right or whole != (batch, heads * group, length, depth):
        return None
    return unsqueeze.inputs[0], group, (reshape, repeat, unsqueeze)


# -- laying out -------------------------------------------------------------------------------------------------------


class _Maker:
    """Makes the ops of a Graph anew."""

    def __init__(self, graph: Graph) -> None:
        """Start with the tensors of a Graph and no ops."""
        self.tensors = list(graph.tensors)
        self.ops: list[Op] = []

    def lay_out(self, one: Attention) -> None:
        """The ops of one attention. The MatMuls see the rows of all heads that share a key under each other."""
        query, key, result = (self.tensors[id] for id in (one.query, one.key, one.root.outputs[0]))
        *batch, heads, rows, depth = query.shape
        columns, width = key.shape[-2], result.shape[-1]
        apart, folded = (*batch, heads, rows), (*batch, heads // one.group, one.group * rows)
        name = one.root.name
        if one.scale is not None:
            scale = self._scale(depth, query) if one.scale < 0 else one.scale
            if query.elements <= key.elements * one.group:
                query = self._op(f"{name}/scale_query", "Multiply", (query.id, scale), query, attrs=ANY_ORDER)
            else:
                key = self._op(f"{name}/scale_key", "Multiply", (key.id, scale), key, attrs=ANY_ORDER)
        given = one.mask if one.mask is None else self.tensors[one.mask]
        mask = None if given is None else self._mask(f"{name}/mask_add/broadcast", given, (*apart, columns))
        query = self._seen(f"{name}/fold", query, (*folded, depth))
        attrs = TRANSPOSED | {"regrouped": 1 < one.group < heads}
        made = self._op(f"{name}/qk_matmul", "MatMul", (query.id, key.id), query, (*folded, columns), attrs)
        made = self._seen(f"{name}/scores", made, (*apart, columns))
        if mask is not None:
            made = self._op(f"{name}/mask_add", "Add", (made.id, mask), made)
        made = self._op(f"{name}/softmax", "Softmax", (made.id,), made, attrs={"axis": -1})
        made = self._seen(f"{name}/weights", made, (*folded, columns))
        if one.group == 1:
            self.ops.append(Op(name, "MatMul", (made.id, one.value), one.root.outputs, PLAIN))
            return
        made = self._op(
            f"{name}/output_matmul", "MatMul", (made.id, one.value), made, (*folded, width), PLAIN
        )
        self.ops.append(Op(name, "Reshape", (made.id,), one.root.outputs))

    def _seen(self, name: str, tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A tensor in another shape."""
        return tensor if tensor.shape == shape else self._op(name, "Reshape", (tensor.id,), tensor, shape)

    def _mask(self, name: str, mask: Tensor, scores: tuple[int, ...]) -> int:
        """The mask in the shape of the scores: a constant is stored so, any other is repeated by transfers."""
        if mask.shape == scores:
            return mask.id
        if mask.constant:
            return self._new(replace(mask, value=None), scores).id
        return self._op(name, "Tile", (mask.id,), mask, scores).id

    def _scale(self, depth: int, like: Tensor) -> int:
        value = np.array(1 / np.sqrt(depth), np.float16)
        made = replace(like, id=len(self.tensors), name="scale", shape=(), constant=True, value=value)
        self.tensors.append(made)
        return made.id

    def _op(
        self,
        name: str,
        type: str,
        inputs: tuple[int, ...],
        like: Tensor,
        shape: Sequence[int] | None = None,
        attrs: Mapping[str, object] | None = None,
    ) -> Tensor:
        """Add an op of one result, and give that."""
        made = self._new(replace(like, name=name, constant=False, value=None), tuple(shape or like.shape))
        self.ops.append(Op(name, type, inputs, (made.id,), attrs or {}))
        return made

    def _new(self, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        stored = like.stored_dtype if like.constant else like.dtype
        made = replace(like, id=len(self.tensors), shape=shape, stored_dtype=stored)
        self.tensors.append(made)
        return made
