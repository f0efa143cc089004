"""Parts in CMX: a result whose parts are copied, within CMX, for the slices of its reader."""

from __future__ import annotations

from npusim.lowering.ir.plan import load_bytes, on_shave
from npusim.lowering.schedule.steps import Copy, Residency


def is_copied(found: Residency, source: int, reader: int, operand: int) -> bool:
    """Whether a SHAVE kernel in slices finds what the DPU has made in CMX, where all of it and its parts fit beside
    each other (Mul_5 of Mamba-2 on 5 and 6 tiles, base and CumBA; on fewer its MatMul is sliced too)."""
    made, plan = found.plans[source], found.plans[reader]
    value = plan.inputs[operand]
    if len(plan.slices) < 2 or len(made.slices) != 1 or made.in_place or plan.chain >= 0 or value.partial:
        return False
    if not on_shave(plan) or on_shave(made) or made.out_dist is None:
        return False
    if plan.in_dists[operand] != made.out_dist or made.output.elements != value.elements:
        return False
    loads = [x for part in plan.slices for x in part.loads if x.operand == operand]
    size = max(made.slices[0].out_bytes)
    return not any(x.key for x in loads) and size + load_bytes(loads, found.tiles) <= found.capacity


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
