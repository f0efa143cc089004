"""Parts in CMX: a result whose parts are copied, within CMX, for the slices of its reader."""

from __future__ import annotations

from npusim.lowering.ir.nodes import Bmm, Conv
from npusim.lowering.ir.plan import Plan, load_bytes, on_shave
from npusim.lowering.schedule.steps import Copy, Residency


def is_copied(found: Residency, source: int, reader: int, operand: int) -> bool:
    """Whether a SHAVE kernel in slices finds what the DPU has made in CMX, where all of it and its parts fit beside
    each other (Mul_5 of Mamba-2 on 5 and 6 tiles, base and CumBA; on fewer its MatMul is sliced too)."""
    made, plan = found.plans[source], found.plans[reader]
    value = plan.inputs[operand]
    if _spread(made, plan, found.tiles):
        return True
    if made.handed_on:
        return _takes_whole(made, plan, operand)
    if len(plan.slices) < 2 or len(made.slices) != 1 or made.in_place or plan.chain >= 0 or value.partial:
        return False
    if not on_shave(plan) or on_shave(made) or made.out_dist is None:
        return False
    if plan.in_dists[operand] != made.out_dist or made.output.elements != value.elements:
        return False
    loads = [x for part in plan.slices for x in part.loads if x.operand == operand]
    size = max(made.slices[0].out_bytes)
    return not any(x.key for x in loads) and size + load_bytes(loads, found.tiles) <= found.capacity


def _spread(made: Plan, plan: Plan, tiles: int) -> bool:
    """Whether a conversion to 64 bits takes from one tile's CMX what a kernel has made there."""
    if not plan.node.runs("convert") or plan.output.bits <= 32 or len(made.slices) * len(plan.slices) != 1:
        return False
    return tiles > 1 and made.out_dist is not None and len(made.out_dist.cuts) == 1


def _takes_whole(made: Plan, plan: Plan, operand: int) -> bool:
    """Whether a MatMul in one slice reads all of what another plan hands on, unpadded, in a part for each tile or the
    whole for all."""
    value, node = plan.inputs[operand], plan.node
    if not isinstance(node, Bmm) and not (isinstance(node, Conv) and node.window is None):
        return False
    loads = [x for part in plan.slices for x in part.loads if x.operand == operand]
    single = len(plan.slices) == 1 and not value.partial and made.function == plan.function
    size = made.output.elements * made.output.bits // 8
    whole = sum(x.cmx_bytes for x in loads) == size
    return single and whole and made.output.elements == value.elements


def keep_copies(found: Residency, source: int, reader: int, operand: int) -> None:
    """Keep copies of a result for the slices of its reader until a step needs their room, the last of them longest."""
    begin, total = found.steps_of[source][-1] + 1, max(found.plans[source].slices[0].out_bytes)
    copies: list[Copy] = []
    for step in reversed(found.steps_of[reader]):
        size = found.load_bytes(step, operand)
        until = next((s for s in range(begin, step) if found.level[s] + size > found.capacity), step)
        for s in range(begin, until):
            found.level[s] += size
        copies.insert(0, Copy(step, operand, size, until))
        total += size
    found.copies[source] = copies
    found.level[begin - 1] = max(found.level[begin - 1], total)
