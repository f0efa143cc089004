"""Joined pieces: a Concat that nobody has to make, because its pieces lie side by side in CMX."""

from __future__ import annotations

from npusim.lowering.ir.nodes import Concat
from npusim.lowering.ir.plan import Plan, on_shave
from npusim.lowering.schedule.steps import Residency


def join(found: Residency, number: int, pieces: list[int], reads: list[tuple[int, int]]) -> bool:
    """Let the pieces of a Concat, made by these plans, lie side by side in CMX for all its ``reads`` (plan, operand),
    if they can, and account for them: the DPU makes every piece and reads the whole. Their room is taken when the first
    is made."""
    plan = found.plans[number]
    made = [found.plans[piece] for piece in pieces]
    if not isinstance(plan.node, Concat) or plan.out_dist is None or not reads:
        return False
    if len(set(pieces)) < len(plan.inputs) or not all(_is_piece(one, plan) for one in made):
        return False
    if not all(_reads_joined(found.plans[reader], operand, plan) for reader, operand in reads):
        return False
    begin = min(found.steps_of[piece][0] for piece in pieces)
    end = max(found.steps_of[reader][-1] for reader, _ in reads)
    more = dict.fromkeys(range(begin, end + 1), 0)
    for piece, one in zip(pieces, made, strict=True):
        size, own = max(one.slices[0].out_bytes), found.steps_of[piece]
        kept = range(own[0], max(found.keep_until.get(piece, -1), own[-1]) + 1)
        for step in more:
            more[step] += 0 if step in kept else size
    for reader, operand in reads:
        for step in found.steps_of[reader]:
            more[step] = max(0, more[step] - found.load_bytes(step, operand))
    if not found.take(more):
        return False
    for piece in pieces:
        found.keep_until[piece] = max(found.keep_until.get(piece, -1), end)
    for reader, operand in reads:
        found.resident[reader, operand] = tuple(pieces)
    return True


def _is_piece(made: Plan, joined: Plan) -> bool:
    """Whether what a plan makes can lie beside other pieces."""
    alone = made.resident_output and not made.in_place and not made.gathered and made.chain < 0
    return alone and not on_shave(made) and made.function == joined.function


def _reads_joined(plan: Plan, operand: int, joined: Plan) -> bool:
    """Whether a plan can read a Concat whose pieces lie side by side in CMX."""
    value = plan.inputs[operand]
    if plan.in_dists[operand] != joined.out_dist or value.partial or value.elements != joined.output.elements:
        return False
    loads = [x for part in plan.slices for x in part.loads if x.operand == operand]
    whole = len(plan.slices) == 1 or all(x.key for x in loads)
    return bool(plan.slices) and whole and not on_shave(plan) and plan.function == joined.function
