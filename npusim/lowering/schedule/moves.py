"""DDR to DDR copies: the pieces of a Concat, the zeros around a Pad, parts that must exist by themselves."""

from __future__ import annotations

from npusim.lowering.schedule.emit import Transfer
from npusim.lowering.schedule.state import State


def fill_all(s: State) -> None:
    """The copies that wait for nothing, of all plans, before all else (the zeros of every Pad and Concat of Mamba-2, of
    all four layers, before the gather: 4000, 5010)."""
    for number, plan in enumerate(s.given.plans):
        free = [(k, work) for k, work in plan.ddr_moves if not s.waits_for_data(plan, k)]
        if free:
            group = s.out.group()
            s.fills[group] = number
            s.filled[number] = {k for k, _ in free}
            s.out.dma([Transfer(work, s.given.accounts[number], (), group) for _, work in free])
            s.wrote(number, group)
    s.first_free = len(s.out.ends)


def move_before(s: State, number: int) -> None:
    """The copies of all plans before this one."""
    for plan in range(s.done, number):
        _move(s, plan)
    s.done = max(s.done, number)


def _move(s: State, number: int) -> None:
    """The copies of a plan, but for those that waited for nothing."""
    plan = s.given.plans[number]
    if plan.slices and not plan.ddr_moves:
        return
    if number in s.given.residency.joined:
        s.write(number, None, last=True)
        return
    filled = s.filled.get(number, ())
    moves = [(k, work) for k, work in plan.ddr_moves if k not in filled]
    group = s.out.group() if moves else None
    if group is not None:
        op = s.given.accounts[number]
        s.out.dma([Transfer(work, op, s.sources(number, k), group) for k, work in moves])
    s.write(number, group, last=not plan.slices)
