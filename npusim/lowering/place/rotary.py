"""Rotary embeddings of heads that lie beside each other, row by row, as a projection leaves them: the kernel sees head
after head."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from npusim.lowering.ir.nodes import Eltwise, Node, Transpose
from npusim.lowering.ir.plan import Load, Plan, load_value
from npusim.lowering.ir.values import Dist, Fresh, Value, even
from npusim.lowering.place.neighbours import Neighbours
from npusim.lowering.plans.dpu.permute import is_moved_by_dma
from npusim.lowering.plans.shave.kernel import plan_shave


def turned_heads(node: Eltwise, near: Neighbours, fresh: Fresh) -> Iterator[Plan | Node]:
    """The kernel with what its tiles load permuted on the way, by one transfer an engine, where each of them has whole
    heads and DMA would permute; behind a transpose elsewhere."""
    value = node.inputs[0]
    move = Transpose(node.name, node.type, (value,), replace(fresh(value), order=()))
    behind = replace(node, inputs=(move.output, *node.inputs[1:]))
    plan = plan_shave(behind, near.hw, node.kernel)
    dist = plan.in_dists[0]
    rows, width = value.shape[-2:]
    by_heads = dist is not None and dist.outer == 1 and not any(cut % (rows * width) for cut in dist.cuts)
    if dist is None or not by_heads or len(plan.slices) > 1 or not is_moved_by_dma(move):
        yield move
        yield behind
        return
    (part,) = plan.slices
    loads = [*_permuted(value, dist, near), *(load for load in part.loads if load.operand)]
    strategy = f"{plan.strategy}, heads permuted by the transfers"
    found = [None, *plan.in_dists[1:]]
    yield replace(plan, node=node, inputs=[value, *plan.inputs[1:]], in_dists=found, strategy=strategy,
                  slices=[replace(part, loads=loads)])  # fmt: skip


def _permuted(value: Value, dist: Dist, near: Neighbours) -> list[Load]:
    """What each tile loads of a value, in one transfer an engine."""
    return [
        Load(0, tile, load_value(value, elements, near.hw), elements * value.bits // 8, (number,))
        for tile, cut in enumerate(dist.cuts)
        for number, elements in enumerate(even(cut, near.hw.dma.engines))
    ]
