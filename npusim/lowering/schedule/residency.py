"""Residency: which results stay in CMX for their readers, and which go through DDR (evidence/lowering.md#4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from npusim.lowering.ir.nodes import Conv
from npusim.lowering.ir.plan import Plan
from npusim.lowering.schedule.edges import slices_stay, stays, why_apart
from npusim.lowering.schedule.joined import join
from npusim.lowering.schedule.parts import is_copied, keep_copies
from npusim.lowering.schedule.sharing import Sharing
from npusim.lowering.schedule.steps import Residency, slices_behind
from npusim.program.journal import note, recording


def decide(plans: Sequence[Plan], outputs: set[int], tiles: int, capacity: int) -> Residency:
    """What stays in CMX. ``outputs`` are the storages that the model returns."""
    found = Residency(plans, tiles, capacity)
    _run_in_step(found)
    sharing = Sharing(found)
    maker: dict[int, int] = {}
    readers: dict[int, int] = defaultdict(int)
    through_ddr: set[int] = set()
    copied: dict[int, tuple[int, int]] = {}
    reads: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for index, plan in enumerate(plans):
        for operand, value in enumerate(plan.inputs):
            reads[value.storage].append((index, operand))
    for index, plan in enumerate(plans):
        pieces = [maker[value.storage] for value in plan.inputs if value.storage in maker]
        if plan.output.storage not in outputs and join(found, index, pieces, reads[plan.output.storage]):
            found.joined[index] = None
        for operand, value in enumerate(plan.inputs):
            source = maker.get(value.storage)
            if source is None and not value.constant and isinstance(plan.node, Conv):
                sharing.share(index, operand)
            if source is None or value.constant:
                continue
            readers[source] += 1
            if index in found.joined or source in found.joined:
                continue
            if is_copied(found, source, index, operand):
                copied[source] = index, operand
            elif not stays(found, source, index, operand):
                through_ddr.add(source)
                sharing.share(index, operand)
            if recording():
                _enter(found, source, index, operand)
        sharing.share_weights(index)
        maker[plan.output.storage] = index
    for source, (reader, operand) in copied.items():
        if readers[source] == 1 and plans[source].output.storage not in outputs:
            keep_copies(found, source, reader, operand)
        else:
            through_ddr.add(source)
    for index, plan in enumerate(plans):
        if plan.output.storage in outputs or index in through_ddr or not readers[index]:
            found.stored[index] = None
    return found


def _enter(found: Residency, source: int, reader: int, operand: int) -> None:
    """Enter in the journal, for both plans, where one finds what the other has made."""
    made, plan = found.plans[source], found.plans[reader]
    if (reader, operand) in found.resident:
        what = "found in CMX"
    else:
        what = (
            f"read from DDR: {why_apart(made, plan, operand) or 'there is no room for it in CMX meanwhile'}"
        )
    note("residency", plan.node.name, f"operand {operand}, made by {made.node.name}: {what}")
    note("residency", made.node.name, f"the result, for {plan.node.name}: {what}")


def _run_in_step(found: Residency) -> None:
    """Plans of a chain find in CMX what the one before them makes; the slice before is still being read and stored, and
    where a plan runs a slice behind its maker, one more of that one's waits."""
    maker: dict[int, int] = {}
    place = 0
    for reader, plan in enumerate(found.plans):
        place = place + 1 if reader and 0 <= found.plans[reader - 1].chain == plan.chain else 0
        for operand, value in enumerate(plan.inputs):
            source = maker.get(value.storage)
            if source is None or value.constant or not 0 <= found.plans[source].chain == plan.chain:
                continue
            if plan.images > 1:
                slices_stay(found, source, reader, operand)
                continue
            found.resident[reader, operand] = (source,)
            found.chained[source] = reader
            waiting = slices_behind(plan, place) - slices_behind(found.plans[source], place - reader + source)
            made = max(found.plans[source].slices[0].out_bytes)
            both = made * (1 + waiting) + max(plan.slices[0].out_bytes)
            for step in (*found.steps_of[source], *found.steps_of[reader]):
                found.level[step] += both
        maker[plan.output.storage] = reader
