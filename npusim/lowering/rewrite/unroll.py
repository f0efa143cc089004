"""Which attention the compiler cuts per head together with the projections that make its operands, so that no operand
is transposed and no scores are larger than those of one head (npu_compiler: unroll_sdpa_pattern.cpp, 2026)."""

from __future__ import annotations

from collections.abc import Sequence

from npusim.graph.ir import Op
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.optypes import RESHAPES
from npusim.lowering.ir.plan import cmx_capacity
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.rewrite.patterns import Index

_VIEWS = RESHAPES | {"Transpose"}
_WITH_CONSTANT = frozenset({"Add", "Multiply", "FakeQuantize", "FakeConvert"})
#: Share of all tiles' CMX that one head's part of an op may take, so that heads can be pipelined.
CMX_SHARE = 0.5


def path_to_projection(index: Index, tensor: int) -> list[Op]:
    """The ops that make a tensor of a product with constant weights, from the last to that product, if nobody else
    reads what is between; empty if there is no such product."""
    path: list[Op] = []
    while (op := index.maker.get(tensor)) is not None and index.readers[tensor] == 1:
        path.append(op)
        constant = len(op.inputs) > 1 and index.tensor(op.inputs[1]).constant
        if op.type == "MatMul":
            return path if constant else []
        if op.type not in _VIEWS and not (op.type in _WITH_CONSTANT and constant):
            return []
        tensor = op.inputs[0]
    return []


def is_unrolled(index: Index, operands: Sequence[int], hw: Hardware) -> bool:
    """Whether the attention of these tensors (query, key, value of [1, heads, rows, depth]), which adds no mask, is
    cut: all are projections of one input, at least one is transposed, one head's part of each op fits CMX twice, and
    rows are whole granules: padding them would take transfers."""
    if not hw.software.split_projections:
        return False
    query, key = (index.tensor(id).shape for id in operands[:2])
    if len(query) != 4 or query[0] != 1 or query[-2] != key[-2] or query[-2] % CHANNELS:
        return False
    paths = [path_to_projection(index, id) for id in operands]
    if not all(paths) or len({path[-1].inputs[0] for path in paths}) > 1:
        return False
    ops = [op for path in paths for op in path]
    limit = CMX_SHARE * hw.tiles * cmx_capacity(hw)
    fits = all(_head_bytes(index, op, query[1]) <= limit for op in ops if op.type not in _VIEWS)
    return fits and any(op.type == "Transpose" for op in ops)


def _head_bytes(index: Index, op: Op, heads: int) -> float:
    """FP16 bytes of one head's part of an op: its whole activation, and a share of its constants and result."""
    shared = sum(index.tensor(id).elements for id in (*op.inputs[1:], *op.outputs))
    return (index.tensor(op.inputs[0]).elements + shared / heads) * 2
