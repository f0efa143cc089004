"""Attention found in a Graph: an op, or written out as softmax(Q Kᵀ · scale + mask) V, as OpenVINO's fusion finds it
(openvino: transformations/common_optimizations/sdpa_fusion.hpp)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from npusim.graph.ir import Op
from npusim.lowering.rewrite.patterns import Index

#: OpenVINO's op of a whole attention.
FUSED = "ScaledDotProductAttention"


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


def find_attention(index: Index, op: Op) -> Attention | None:
    """The attention that an op ends, if it does."""
    found = _fused(index, op) if op.type == FUSED else _written(index, op)
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
    """An op that is attention. A mask of one number is none."""
    query, key, value, *rest = op.inputs
    masks = [id for id in rest[:1] if index.tensor(id).elements > 1]
    if op.attrs.get("causal"):
        return None
    scale = rest[1] if len(rest) > 1 else -1
    return Attention(query, key, value, masks[0] if masks else None, scale, 1, op, (op,))


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
    return Attention(query, key, op.inputs[1], mask, scale, 1, op, tuple(covered))


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
