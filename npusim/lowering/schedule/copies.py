"""Copies within CMX: the parts of a result that the slices of its reader need, until a step needs their room."""

from __future__ import annotations

from npusim.lowering.schedule.emit import Transfer
from npusim.lowering.schedule.loads import book
from npusim.lowering.schedule.state import Spill, State
from npusim.lowering.schedule.steps import Copy
from npusim.program.work import DmaWork, Memory


def copy_result(s: State, index: int) -> list[int]:
    """Copy what a step has made for the slices of its reader, within CMX; the groups of the copies."""
    made, groups = s.given.residency.steps[index].plan, []
    copies = s.given.residency.copies[made]
    for copy in copies:
        booking, waits = book(s, index, copy.bytes)
        group = s.out.group()
        waits = (s.computed(index), *waits)
        s.out.dma([item._replace(booking=booking) for item in _transfers(s, copy, "cmx", waits, group)])
        groups.append(group)
        if copy.until == copy.step:
            s.copied[copy.step, copy.operand] = group
            s.expiring.setdefault(copy.step, []).append((booking, (group,)))
        else:
            s.spills.setdefault(copy.until, []).append(Spill(copy, booking, group, made))
    if all(copy.until == copy.step for copy in copies):
        s.write(made, None, last=True)
    return groups


def spill(s: State, index: int) -> None:
    """Write copies to where their readers load them from, whose room a step needs."""
    spilled = s.spills.pop(index, [])
    for copy, booking, group, made in spilled:
        store = s.out.group()
        s.out.dma(_transfers(s, copy, "", (group,), store))
        s.pool.release(booking, (store,), s.out.ready((store,)))
        s.write(made, store, last=False)
    left = {one.made for pending in s.spills.values() for one in pending}
    for made in sorted({one.made for one in spilled} - left):
        s.write(made, None, last=True)


def _transfers(s: State, copy: Copy, to: Memory, waits: tuple[int, ...], group: int) -> list[Transfer]:
    """The transfers of a copy, out of CMX: to a memory, or (empty) to the one that its reader loads it from."""
    reader = s.given.residency.steps[copy.step]
    op, detail = s.given.accounts[reader.plan], reader.slice.detail
    works = [load.work for load in reader.slice.loads if load.operand == copy.operand]
    moves = [DmaWork("cmx", to or work.src, work.bytes, work.counted_bytes) for work in works]
    return [Transfer(work, op, waits, group, detail) for work in moves]
