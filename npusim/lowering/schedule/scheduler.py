"""Scheduling: plans become tasks on queues, with barriers, prefetch and CMX accounting.

A step is one slice of one plan: its loads, then what can be prefetched for later steps, its computes, its stores. The
slices of one plan advance in step: while slice i computes, activations of slice i+1 are loaded and the result of slice
i-1 is stored, all from the moment that slice i has its operands (weights are not held back).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.plan import Plan, cmx_capacity
from npusim.lowering.ir.repeat import Repeat
from npusim.lowering.schedule.accounts import open_accounts
from npusim.lowering.schedule.assemble import finish
from npusim.lowering.schedule.copies import copy_result, spill
from npusim.lowering.schedule.emit import Transfer
from npusim.lowering.schedule.loads import book, loads_left, prefetch
from npusim.lowering.schedule.memory import Booking
from npusim.lowering.schedule.moves import fill_all, move_before
from npusim.lowering.schedule.replay import Replay
from npusim.lowering.schedule.residency import decide
from npusim.lowering.schedule.state import Given, State
from npusim.program import Program
from npusim.program.work import DmaWork


def schedule(
    plans: Sequence[Plan],
    outputs: set[int],
    homes: dict[int, int],
    name: str,
    hw: Hardware,
    notes: tuple[str, ...],
    repeat: Repeat | None = None,
) -> Program:
    """The Program of a list of plans. ``outputs`` are the storages that the model returns; ``homes`` maps the storage
    of a piece to that of the Concat it is written into; ``repeat`` says which plans are blocks that are alike: of those
    that would come out alike all but the first are copied. Raises UserError where a slice does not fit CMX."""
    residency = decide(plans, outputs, hw.tiles, cmx_capacity(hw))
    accounts, ops = open_accounts(plans)
    s = State.start(Given(plans, accounts, residency, homes, hw))
    fill_all(s)
    replay = Replay(s, repeat) if repeat else None
    index = 0
    while index < len(residency.steps):
        index = replay.advance(index) if replay else index
        move_before(s, residency.steps[index].plan + 1)
        index = _step(s, index)
    move_before(s, len(plans))
    return finish(s.out, s.pool.bookings, ops, name, hw, notes)


def _step(s: State, index: int) -> int:
    """Emit one step, and those of further results of its computes; the number of the next one."""
    residency = s.given.residency
    spill(s, index)
    if _behind_fills(s, index):
        prefetch(s, index, 0.0)
    s.out.dma(loads_left(s, index))
    waits = dict.fromkeys(_compute_waits(s, index))
    bookings = []
    for result in residency.results(index):
        step = residency.steps[result]
        size = residency.output_bytes(s.given.plans[step.plan], step.plan, step.slice)
        booking, taken = book(s, result, size)
        waits |= dict.fromkeys(taken)
        bookings.append((result, booking))
    made = _compute(s, index, tuple(waits))
    for result, booking in bookings:
        booking.writers.extend(made)
        _hand_on(s, result, booking)
    return index + len(bookings)


def _hand_on(s: State, index: int, booking: Booking) -> None:
    """What becomes of the result of a step: it is stored, kept in its room or copied; rooms that end here are free."""
    residency, step = s.given.residency, s.given.residency.steps[index]
    number, plan = step.plan, s.given.plans[step.plan]
    used = (s.computed(index), *_store(s, index))
    copied = step.last and number in residency.copies
    if step.last and number not in residency.stored and not copied:
        s.write(number, None, last=True)
    keep = residency.keep_step(index)
    if keep > index:
        s.expiring.setdefault(keep, []).append((booking, used))
    elif not copied:
        _release(s, booking, used)
    for old, groups in s.expiring.pop(index, ()):
        _release(s, old, (*groups, *(used if plan.in_place else used[:1])))
    if copied:
        _release(s, booking, (*used, *copy_result(s, index)))


def _store(s: State, index: int) -> tuple[int, ...]:
    """The stores of a step; their group, if its result must reach DDR."""
    step = s.given.residency.steps[index]
    if step.plan not in s.given.residency.stored:
        return ()
    group, op = s.out.group(), s.given.accounts[step.plan]
    waits: tuple[int, ...] = (s.computed(index),)
    behind = index + 1 < len(s.given.residency.steps)
    if behind and s.has_loads[index + 1] and not s.pending[index + 1]:
        waits = (*waits, s.loaded(index + 1))
    s.out.dma([Transfer(one.work, op, waits, group, step.slice.detail) for one in step.slice.stores])
    s.write(step.plan, group, step.last)
    return (group,)


def _release(s: State, booking: Booking, groups: tuple[int, ...]) -> None:
    s.pool.release(booking, groups, s.out.ready(groups))


def _behind_fills(s: State, index: int) -> bool:
    """Whether a step must wait for DDR to DDR copies that waited for nothing: the weights of the next one are then
    issued first (4000, 5010)."""
    number = s.given.residency.steps[index].plan
    if len(s.given.plans[number].slices) != 1:
        return False
    return any(s.awaits_fill(number, operand) for operand in s.pending[index])


def _compute_waits(s: State, index: int) -> tuple[int, ...]:
    """Groups that the computes of a step wait for: its loads, kept loads, the makers of what is in CMX, and all tiles'
    computes of the slice before."""
    residency, step = s.given.residency, s.given.residency.steps[index]
    number = step.plan
    waits = [s.loaded(index)] if s.has_loads[index] else []
    if step.index:
        waits.append(s.computed(residency.steps_of[number][step.index - 1]))
    if number in residency.weights:
        waits.append(s.loaded(residency.steps_of[residency.weights[number]][0]))
    for load in step.slice.loads:
        group = s.kept.get((number, load.key)) if load.key else None
        if group is not None:
            waits.append(group)
    for operand in range(len(s.given.plans[number].inputs)):
        for source in residency.resident.get((number, operand), ()):
            waits.append(s.computed(residency.maker_step(source, index)))
        copy = s.copied.get((index, operand))
        if copy is not None:
            waits.append(copy)
        first = residency.shared.get((number, operand))
        if first is not None:
            waits.append(s.loaded(residency.steps_of[first[0]][0]))
    return tuple(dict.fromkeys(waits))


def _compute(s: State, index: int, waits: tuple[int, ...]) -> list[int]:
    """Emit the computes of a step and what is prefetched meanwhile; the numbers of the former.

    A transfer among them (broadcast, gather) follows the kernels before it, and on its queue what was prefetched: a
    gather waits behind all weights that CMX has room for (every SSM trace on 4000); one within CMX, where it shares its
    queue with loads (3720), behind those of the next slice alone. Kernels behind a transfer follow
    it, and so do copies behind an expansion. Kernels without a duration (index conversion, RMS norm, CumSum) set
    prefetch no limit.
    """
    step = s.given.residency.steps[index]
    op, group = s.given.accounts[step.plan], s.computed(index)
    made: list[int] = []
    prefetched = False
    moved = ""
    for tile, work in step.slice.computes:
        moves = work.kind if isinstance(work, DmaWork) else ""
        if isinstance(work, DmaWork) and s.out.queues_with_loads(work) and not prefetched:
            prefetched = work.src == "ddr" or s.out.takes_time(made)
            if prefetched:
                prefetch(s, index, _limit(s, group, made))
            elif not made and not step.last:
                prefetch(s, index, 0.0)
        if made and moves != moved:
            waits = (*waits, _regroup(s, group, made))
        moved = moves
        first = s.out.count
        s.out.compute(tile, op, work, waits, group, step.slice.detail)
        made.extend(range(first, s.out.count))
    if not prefetched:
        prefetch(s, index, _limit(s, group, made))
    return made


def _limit(s: State, group: int, made: list[int]) -> float:
    """Until when loads are prefetched: the end of what has been computed."""
    return s.out.ends[group] if s.out.takes_time(made) else inf


def _regroup(s: State, group: int, made: list[int]) -> int:
    """A group of their own for the tasks of a group so far."""
    before = s.out.group()
    s.out.regroup(made, before)
    s.out.ends[before] = s.out.ends[group]
    return before
