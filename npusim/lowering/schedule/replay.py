"""Replay: a block of plans that would be scheduled exactly as the one before it is copied from what that emitted.

At the boundary of two blocks that are alike, all that the scheduler will ever look at again is written down relative to
the boundary: clocks, CMX, prefetched loads, groups that are waited for. If it is the same as one block earlier, the
block to come repeats the last one, shifted in time (clocks count in whole ticks, so shifting is exact), and so do all
that follow it and are alike; only the last of them is scheduled, since prefetch looks ahead into what comes next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from npusim.lowering.ir.repeat import Repeat
from npusim.lowering.schedule.alike import Blocks
from npusim.lowering.schedule.forms import GROUP, Frame, Mark, Move, move, relative
from npusim.lowering.schedule.moves import move_before
from npusim.lowering.schedule.state import State


@dataclass(frozen=True, slots=True)
class _Boundary:
    """The start of a block: where it is, how full the scratchpad is, and, if that was the same one block earlier, all
    that decides what comes, relative to there."""

    mark: Mark
    room: tuple[int, int]
    seen: object


class Replay:
    """Watches a schedule at the boundaries of the blocks of ``repeat``."""

    def __init__(self, state: State, repeat: Repeat) -> None:
        """Find out which blocks are alike in all that was decided before scheduling."""
        self.s, self.repeat = state, repeat
        self.blocks = Blocks(state.given, repeat, state.writers)
        self.block_at = {step: number for number, step in enumerate(self.blocks.step_of)}
        self.last: _Boundary | None = None

    def advance(self, step: int) -> int:
        """The step to go on with: ``step``, unless a block begins there that can be copied, and others behind it."""
        number = self.block_at.get(step)
        if number is None or number > self.repeat.count:
            return step
        s, start = self.s, self.repeat.block(number).start
        move_before(s, start)
        s.out.close()
        last, self.last = self.last, None
        more = self.blocks.like_last(number)
        if not more and not (number < self.repeat.count and self.blocks.alike[number]):
            return step
        frame = self._frame(number, s.mark(start, step))
        room = s.pool.free, len(s.pool.dead)
        seen = (relative(s, frame), list(self._reads(number, frame))) if last and last.room == room else None
        self.last = _Boundary(frame.mark, room, seen)
        if last is None or not more or seen is None or last.seen != seen:
            return step
        self._copy(last.mark, frame, more)
        self.last = None
        return step + more * self.blocks.steps

    def _frame(self, number: int, mark: Mark) -> Frame:
        """What is compared at the start of a block, and in what."""
        s = self.s
        busy = s.out.busy()
        idle_us = min(min(s.out.free[queue]) for queue in busy)
        groups = s.groups(frozenset(self._fixed(number)))
        return Frame(mark, groups, idle_us, s.given.hw.software.prefetch_slices, s.pool.bookings, busy)

    def _fixed(self, number: int) -> Iterator[int]:
        """Groups that this block and the next one wait for alike: those that wrote what both read."""
        given = self.s.given
        for i in self.repeat.block(number):
            ahead = min(i + self.repeat.period, len(given.plans) - 1)
            for a, b in zip(given.plans[i].inputs, given.plans[ahead].inputs, strict=False):
                if not a.constant and a.storage == b.storage:
                    yield from self.s.written.get(given.home(a.storage), ())

    def _reads(self, number: int, frame: Frame) -> Iterator[object]:
        """What this block, and prefetch from it, will find of what earlier plans have made, in CMX and in DDR."""
        s, given, residency = self.s, self.s.given, self.s.given.residency
        start = self.repeat.block(number).start
        last = residency.steps[min(frame.window.stop + self.blocks.steps, len(residency.steps)) - 1].plan
        for i in range(start, max(last + 1, start + self.repeat.period)):
            for k, value in enumerate(given.plans[i].inputs):
                made = [n for n in residency.resident.get((i, k), ()) if n < start]
                shared = residency.shared.get((i, k))
                found = [s.computed(step) for source in made for step in residency.steps_of[source]]
                if shared is not None and shared[0] < start:
                    found.append(s.loaded(residency.steps_of[shared[0]][0]))
                home = given.home(value.storage)
                written = [] if value.constant else s.written.get(home, ())
                left = 0 if value.constant else s.writers.get(home, 0)
                yield [GROUP.relative(g, frame) for g in (*found, *written)], len(found), left
            first = residency.weights.get(i, start)
            if first < start:
                yield GROUP.relative(s.loaded(residency.steps_of[first][0]), frame)
            fence = s.fence(i)
            if fence is not None and given.ended[i] < start:
                yield [GROUP.relative(g, frame) for g in s.written.get(fence, ())]

    def _copy(self, start: Mark, frame: Frame, more: int) -> None:
        """Emit ``more`` blocks as the one from ``start`` to the frame, and leave the state as they would."""
        s, end, by = self.s, frame.mark, frame.mark.minus(start)
        op = s.given.accounts[end.plan] - s.given.accounts[start.plan]
        s.out.repeat(by, op, more, frame.groups)
        s.pool.repeat(start, end, more, frame.groups)
        writes = s.writes[start.write : end.write]
        apart = [0 if one.group is None else frame.groups.apart(one.group, by) for one in writes]
        for k in range(1, more + 1):
            for one, further in zip(writes, apart, strict=True):
                group = None if one.group is None else one.group + k * further
                s.write(one.plan + k * by.plan, group, one.last)
        move(s, Move(frame, by.times(more)))
