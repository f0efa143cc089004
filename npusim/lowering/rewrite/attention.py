"""Attention as the compiler rewrites it: the scale moves to the query, the mask is brought to the shape of the scores
before it is added, and keys and values that are repeated for groups of heads are read once.

One that is an op of OpenVINO's is taken apart where it has a mask or repeated heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Literal

import numpy as np

from npusim.graph.ir import Graph, Op, Tensor
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.attention import one_head_bytes
from npusim.lowering.ir.groups import grouped, is_large
from npusim.lowering.ir.plan import cmx_capacity
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.shared_keys import SharedKeys
from npusim.lowering.ir.values import round_up
from npusim.lowering.rewrite.attention_patterns import FUSED, Attention, find_attention
from npusim.lowering.rewrite.patterns import Index
from npusim.lowering.rewrite.unroll import is_unrolled, path_to_projection

#: What of an attention a task of its own scales.
Scaled = Literal["query", "key", "scores", ""]
PLAIN = {"transpose_a": False, "transpose_b": False}
TRANSPOSED = {"transpose_a": False, "transpose_b": True}
#: Attribute of a scale whose reader takes its result in any order of the elements.
ANY_ORDER = {"any_order": True}
#: FP16 bytes of one head's scores from which a mask is added head by head, where the heads run so (npu_compiler:
#: propagate_op_through_batch_concat.cpp, 2026).
MASKED_BYTES = 1 << 20


def share_heads(graph: Graph, hw: Hardware) -> Graph:
    """The Graph with every attention laid out as the compiler does."""
    index = Index(graph)
    found = {id(one.root): one for op in graph.ops if (one := find_attention(index, op))}
    if not found:
        return graph
    gone = {id(op) for one in found.values() for op in one.covered}
    maker = _Maker(index, hw)
    for op in graph.ops:
        if id(op) in found:
            maker.lay_out(found[id(op)])
        elif id(op) not in gone:
            maker.ops.append(op)
    return replace(graph, tensors=tuple(maker.tensors), ops=tuple(maker.ops))


class _Maker:
    """Makes the ops of a Graph anew."""

    def __init__(self, index: Index, hw: Hardware) -> None:
        """Start with the tensors of a Graph and no ops."""
        self.index = index
        self.tensors = list(index.graph.tensors)
        self.hw = hw
        self.ops: list[Op] = []
        self.masks: dict[tuple[int, tuple[int, ...]], int] = {}

    def lay_out(self, one: Attention) -> None:
        """The ops of one attention. The MatMuls see the rows of all heads that share a key under each other."""
        query, key, result = (self.tensors[id] for id in (one.query, one.key, one.root.outputs[0]))
        *batch, heads, rows, depth = query.shape
        columns, width = key.shape[-2], result.shape[-1]
        apart, folded = (*batch, heads, rows), (*batch, heads // one.group, one.group * rows)
        together = grouped(prod(folded[:-1]), folded[-1], depth, columns, self.hw)
        name = one.root.name
        if self._one_kernel(one, columns, width):
            masks = () if one.mask is None else (one.mask,)
            inputs = (query.id, key.id, one.value, *masks)
            self.ops.append(Op(name, FUSED, inputs, one.root.outputs, {"kernel": True}))
            return
        at, scale = self._place_scale(rows, columns, depth), -1
        if one.mask is None and one.group == 1 and self._cut(one, at):
            return
        if one.scale is None or self._rescaled(apart, columns, one.group, at, together):
            at = ""
        else:
            scale = self._scale(depth, query) if one.scale == -1 else one.scale
        if at == "query":
            query = self._op(f"{name}/scale_query", "Multiply", (query.id, scale), query, attrs=ANY_ORDER)
        elif at == "key":
            key = self._op(f"{name}/scale_key", "Multiply", (key.id, scale), key, attrs=ANY_ORDER)
        shared_by_all = 1 < one.group == heads and rows > 1
        if shared_by_all and one.mask is None and prod(batch) == 1 and at != "key":
            self._share_keys(one, query, key, rows, at)
            return
        if one.group == 1 and not together and self._goes_by_head(one, apart, columns):
            inputs = (query.id, key.id, one.value, *(() if one.mask is None else (one.mask,)))
            attrs = {"by_head": True, "values_last": self._values_last(one, apart, columns)}
            self.ops.append(Op(name, FUSED, inputs, one.root.outputs, attrs))
            return
        given = one.mask if one.mask is None else self.tensors[one.mask]
        mask = None if given is None else self._mask(one, given, (*apart, columns))
        value, untransposed = self._values(one, self.tensors[one.value])
        query = self._seen(f"{name}/fold", query, (*folded, depth))
        shares = 1 < one.group < heads or shared_by_all
        regrouped = "" if not shares else "result" if together and rows > 1 else "both"
        made = self._op(
            f"{name}/qk_matmul",
            "MatMul",
            (query.id, key.id),
            query,
            (*folded, columns),
            {**TRANSPOSED, "regrouped": regrouped},
        )
        made = self._seen(f"{name}/scores", made, (*apart, columns))
        if at == "scores":
            made = self._op(
                f"{name}/scale_multiply",
                "Multiply",
                (made.id, scale),
                made,
                attrs={"apart": True, **ANY_ORDER},
            )
        if mask is not None:
            made = self._op(f"{name}/mask_add", "Add", (made.id, mask), made)
        made = self._op(f"{name}/softmax", "Softmax", (made.id,), made, attrs={"axis": -1})
        made = self._seen(f"{name}/weights", made, (*folded, columns))
        if one.group == 1:
            self.ops.append(Op(name, "MatMul", (made.id, value.id), one.root.outputs, untransposed))
            return
        made = self._op(
            f"{name}/output_matmul",
            "MatMul",
            (made.id, value.id),
            made,
            (*folded, width),
            {**untransposed, "regrouped": regrouped if shared_by_all or rows == 1 else ""},
        )
        self.ops.append(Op(name, "Reshape", (made.id,), one.root.outputs))

    def _share_keys(self, one: Attention, query: Tensor, key: Tensor, rows: int, at: Scaled) -> None:
        """Leave an attention of one head of keys to be cut into slices: its scores head by head, where those of one are
        too large for groups, else all products by rows."""
        result = one.root.outputs[0]
        columns, width = key.shape[-2], self.tensors[result].shape[-1]
        if is_large(rows, columns):
            attrs = {"slices": one.group, "scores_apart": True}
        else:
            made = at == "query" or one.query in self.index.maker
            read = not self._is_returned(result)
            shape = SharedKeys(one.group * rows, columns, query.shape[-1], width, made, read)
            attrs = {"slices": shape.slices(self.hw)}
        self.ops.append(Op(one.root.name, FUSED, (query.id, key.id, one.value), one.root.outputs, attrs))

    def _is_returned(self, id: int) -> bool:
        """Whether the model returns a tensor, or what it is converted to."""
        outputs, reader = self.index.graph.outputs, self.index.reader.get(id)
        converted = reader is not None and reader.type == "Convert" and reader.outputs[0] in outputs
        return id in outputs or converted

    def _one_kernel(self, one: Attention, columns: int, width: int) -> bool:
        """Whether one kernel computes this attention (npu_compiler: decompose_attention.cpp, 2026)."""
        known = self.hw.software.attention_kernel
        *batch, heads, rows, depth = self.tensors[one.query].shape
        if known is None or prod(batch) != 1:
            return False
        if one.group > 1:
            return one.group == heads and one_head_bytes(columns, depth, width) <= cmx_capacity(self.hw)
        return (heads, rows, columns) in known

    def _place_scale(self, rows: int, columns: int, depth: int) -> Scaled:
        """What of an attention is scaled: the smallest as it is padded by then, of two as small the one that is named
        first (npu_compiler: decompose_sdpa_extended.cpp, 2026); or the scores, as models write it."""
        if self.hw.software.attention_scale == "scores":
            return "scores"
        if self.hw.software.attention_scale == "smallest":
            rows, columns = round_up(rows, CHANNELS), round_up(columns, CHANNELS)
        sizes: dict[Scaled, int] = {"query": rows * depth, "key": columns * depth, "scores": rows * columns}
        return min(sizes, key=sizes.__getitem__)

    def _cut(self, one: Attention, at: Scaled) -> bool:
        """Leave an attention to be cut per head with its projections, if it is: not where its scores are scaled.
        Weights take in the scale of a query that is nothing but their product."""
        operands = one.query, one.key, one.value
        if (one.scale is not None and at == "scores") or not is_unrolled(self.index, operands, self.hw):
            return False
        shifted = any(op.type == "Add" for op in path_to_projection(self.index, one.query))
        attrs = {"per_head": True, "scaled": one.scale is not None and at == "query" and shifted}
        self.ops.append(Op(one.root.name, FUSED, operands, one.root.outputs, attrs))
        return True

    def _rescaled(self, apart: tuple[int, ...], columns: int, group: int, at: Scaled, together: bool) -> bool:
        """Whether the convolutions that make the scores, head by head, scale them as they write them."""
        *batch, heads, rows = apart
        on_scores = self.hw.software.attention_scale == "scores"
        if together or (group > 1 and not (on_scores and group == heads and rows > 1)):
            return False
        if on_scores:
            return prod(batch) == 1
        padded = rows % CHANNELS or columns % CHANNELS
        return at == "scores" or bool(padded and self.hw.software.attention_scale == "unpadded")

    def _goes_by_head(self, one: Attention, apart: tuple[int, ...], columns: int) -> bool:
        """Whether the softmax of each head follows its scores, and its product with the values that: of more than one
        row, where no mask keeps the heads together."""
        *batch, heads, rows = apart
        if rows == 1 or (not self.hw.software.grouped_matmul and prod(batch) > 1):
            return False
        if one.mask is None or prod(batch) * heads == 1:
            return one.mask is None
        mask = self.tensors[one.mask]
        alike = mask.shape[-2:] == (rows, columns) and mask.elements == rows * columns
        return mask.elements == 1 or (alike and mask.elements * 2 >= MASKED_BYTES)

    def _values_last(self, one: Attention, apart: tuple[int, ...], columns: int) -> bool:
        """Whether values are projected only when the weights of all heads, which run one by one, wait for them: where
        those fit CMX."""
        waiting = prod(apart) * columns * 2 / self.hw.tiles
        return waiting <= cmx_capacity(self.hw) and bool(path_to_projection(self.index, one.value))

    def _values(self, one: Attention, value: Tensor) -> tuple[Tensor, Mapping[str, object]]:
        """The values as the last MatMul reads them, and how it does: those of several heads that are shared are
        transposed before anything else, where attention is an op of the compiler's own."""
        heads = value.shape[-3] if len(value.shape) > 2 else 1
        if one.group == 1 or heads == 1 or self.hw.software.attention_scale == "scores":
            return value, PLAIN
        *lead, rows, width = value.shape
        order = np.array([*range(len(lead)), len(lead) + 1, len(lead)])
        axes = self._constant("transpose_v", order)
        name = f"{one.root.name}/transpose_v"
        made = self._op(name, "Transpose", (value.id, axes), value, (*lead, width, rows), {"at_once": True})
        return made, TRANSPOSED

    def _constant(self, name: str, number: np.ndarray) -> int:
        made = Tensor(len(self.tensors), name, number.shape, "i64", "i64", True, number)
        self.tensors.append(made)
        return made.id

    def _seen(self, name: str, tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A tensor in another shape."""
        return tensor if tensor.shape == shape else self._op(name, "Reshape", (tensor.id,), tensor, shape)

    def _mask(self, one: Attention, mask: Tensor, scores: tuple[int, ...]) -> int:
        """The mask in the shape of the scores: a constant is stored so, once for all, any other is repeated by
        transfers."""
        if mask.shape == scores:
            return mask.id
        if mask.constant:
            made = self.masks.get((mask.id, scores))
            if made is None:
                made = self.masks[mask.id, scores] = self._new(replace(mask, value=None), scores).id
            return made
        repeated = self._op(f"{one.root.name}/mask_add/broadcast", "Tile", (mask.id,), mask, scores).id
        self._hoist(one, mask.id)
        return repeated

    def _hoist(self, one: Attention, mask: int) -> None:
        """Move the op that was just made of a mask in front of the projections of the attention, where that is an input
        of the model: nothing keeps its transfers."""
        converted = self.index.made_by(mask, "Convert")
        if (converted.inputs[0] if converted else mask) not in self.index.graph.inputs:
            return
        moved = [op for op in self.ops if op is converted] + [self.ops[-1]]
        left = [op for op in self.ops if not any(op is one for one in moved)]
        paths = (path_to_projection(self.index, id) for id in (one.query, one.key, one.value))
        before = {id(op) for path in paths for op in path}
        place = next((i for i, op in enumerate(left) if id(op) in before), len(left))
        self.ops = [*left[:place], *moved, *left[place:]]

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
