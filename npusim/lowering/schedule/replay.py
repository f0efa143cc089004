"""Replay: a block of plans that would be scheduled exactly as the one before it is copied from what that emitted.

At the boundary of two blocks that are alike, all that the scheduler will ever look at again is written down relative to
the boundary: clocks, CMX, prefetched loads, groups that are waited for. If it is the same as one block earlier, the
block to come repeats the last one, shifted in time (clocks count in whole ticks, so shifting is exact), and so do all
that follow it and are alike; only the last of them is scheduled, since prefetch looks ahead into what comes next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from npusim.lowering.ir.repeat import Repeat, decisions
from npusim.lowering.schedule.emit import Drafts
from npusim.lowering.schedule.memory import Booking
from npusim.program import Indices, Lists

if TYPE_CHECKING:
    from npusim.lowering.schedule.scheduler import Scheduler


class Mark(NamedTuple):
    """How far everything had come at the start of a block."""

    plan: int
    step: int
    group: int
    task: int
    booking: int
    release: int
    us: float


@dataclass(frozen=True, slots=True)
class Boundary:
    """The start of a block: where it is, and the state that decides what comes, relative to there."""

    mark: Mark
    state: tuple[object, ...]


class Replay:
    """Watches a scheduler at the boundaries of the blocks of ``repeat``."""

    def __init__(self, scheduler: Scheduler, repeat: Repeat) -> None:
        """Find out which blocks are alike in all that was decided before scheduling."""
        self.s, self.repeat = scheduler, repeat
        residency = scheduler.residency
        own = [
            [step for number in repeat.block(block) for step in residency.steps_of[number]]
            for block in range(repeat.count + 1)
        ]
        self.step_of = [min(steps) for steps in own]
        self.block_at = {step: number for number, step in enumerate(self.step_of)}
        self.steps = self.step_of[1] - self.step_of[0]
        self.reach = scheduler.hw.software.prefetch_slices
        even = self.steps > self.reach and all(b - a == self.steps for a, b in pairwise(self.step_of))
        even = even and all(max(steps) - min(steps) < self.steps for steps in own)
        owners: dict[int, int] = {}
        for number, plan in enumerate(scheduler.plans):
            owners.setdefault(scheduler.home(plan.output.storage), number)
        self.owners = owners
        self.alike = [even and self._alike(number) for number in range(repeat.count)]
        self.last: Boundary | None = None
        self.fixed: frozenset[int] = frozenset()

    # -- what is decided before scheduling ----------------------------------------------------------------------

    def _alike(self, number: int) -> bool:
        """Whether a block and the next one are equal but for names."""
        one, other = self.repeat.block(number), self.repeat.block(number + 1)
        ops = [self.s.plans[self.repeat.block(n).start].op for n in (0, 1, number, number + 1)]
        return (
            self._decided(one) == self._decided(other)
            and ops[1] - ops[0] == ops[3] - ops[2]
            and all(
                decisions(self.s.plans[a]) == decisions(self.s.plans[b]) and self._reads_alike(a, b)
                for a, b in zip(one, other, strict=True)
            )
        )

    def _reads_alike(self, one: int, other: int) -> bool:
        """Whether the operands of two plans come from corresponding plans, or the same one, and so do their homes."""
        plans, home, owners = self.s.plans, self.s.home, self.owners
        for a, b in zip(plans[one].inputs, plans[other].inputs, strict=True):
            mine, theirs = home(a.storage), home(b.storage)
            made = owners.get(mine), owners.get(theirs)
            apart = 0 if made == (None, None) else (made[1] or 0) - (made[0] or 0) - (other - one)
            if not a.constant and mine != theirs and apart:
                return False
        written = [owners[home(plans[number].output.storage)] for number in (one, other)]
        return written[1] - written[0] == other - one and written[0] >= self.repeat.start

    def _decided(self, block: range) -> tuple[object, ...]:
        """What residency has decided of a block, relative to it."""
        residency, s = self.s.residency, self.s
        first, step = block.start, self.step_of[(block.start - self.repeat.start) // self.repeat.period]
        rows = []
        for number in block:
            plan = s.plans[number]
            operands = [
                (tuple(made - first for made in residency.resident.get((number, k), ())),
                 _pair(residency.shared.get((number, k)), first),
                 _less(residency.shared_until.get((number, k)), step))
                for k in range(len(plan.inputs))
            ]  # fmt: skip
            rows.append((
                operands, number in residency.stored, residency.widened.get(number), plan.op - s.plans[first].op,
                [(c.step - step, c.operand, c.bytes, c.until - step) for c in residency.copies.get(number, ())],
                _less(residency.keep_until.get(number), step), _less(residency.chained.get(number), first),
                [n - step for n in residency.steps_of[number]], s.writers[s.home(plan.output.storage)],
                number in s.moved, number in residency.joined,
            ))  # fmt: skip
        return rows, s.residency.level[step : step + self.steps]

    # -- at a boundary ------------------------------------------------------------------------------------------

    def advance(self, step: int) -> int:
        """The step to go on with: ``step``, unless a block begins there that can be copied, and others behind it."""
        number = self.block_at.get(step)
        if number is None or number > self.repeat.count:
            return step
        s = self.s
        s.moves_before(self.repeat.block(number).start)
        s.out.close()
        last, self.last = self.last, None
        more = self._more(number)
        if not more and not (number < self.repeat.count and self.alike[number]):
            return step
        mark = self._mark(number)
        self.fixed = frozenset(self._fixed(number))
        self.last = Boundary(mark, self._state(number, mark))
        if last is None or not more or last.state != self.last.state:
            return step
        self._copy(last.mark, mark, more)
        self.last = None
        return step + more * self.steps

    def _more(self, number: int) -> int:
        """How many blocks from ``number`` on can be copied from the one before them."""
        more = 0
        if number < 1 or not self.alike[number - 1]:
            return 0
        while number + more < self.repeat.count and self.alike[number + more]:
            more += 1
        return more

    def _mark(self, number: int) -> Mark:
        s = self.s
        us = max(max(servers) for servers in s.out.free)
        return Mark(
            self.repeat.block(number).start, self.step_of[number], len(s.out.ends), s.out.count,
            len(s.pool.bookings), len(s.pool.releases), us,
        )  # fmt: skip

    def _fixed(self, number: int) -> Iterator[int]:
        """Groups that this block and the next one wait for alike: those that wrote what both read."""
        s = self.s
        for i in self.repeat.block(number):
            ahead = min(i + self.repeat.period, len(s.plans) - 1)
            for a, b in zip(s.plans[i].inputs, s.plans[ahead].inputs, strict=False):
                if not a.constant and a.storage == b.storage:
                    yield from s.written.get(s.home(a.storage), ())

    def _state(self, number: int, mark: Mark) -> tuple[object, ...]:
        """All that decides what this block emits, relative to its start."""
        s, residency = self.s, self.s.residency
        floor = min(min(servers) for servers in s.out.free)

        def group(g: int) -> tuple[object, ...]:
            return (*self._relative(g, mark), max(s.out.ends[g], floor) - mark.us, s.out.seen[g])

        block = self.repeat.block(number)
        ahead = range(mark.step, mark.step + self.reach + 1)
        operands = []
        for i in block:
            for k, value in enumerate(s.plans[i].inputs):
                home = s.home(value.storage)
                sources, shared = residency.resident.get((i, k), ()), residency.shared.get((i, k))
                found = [
                    group(s.computed[n])
                    for source in sources
                    if source < block.start
                    for n in residency.steps_of[source]
                ]
                if not found and shared is not None and shared[0] < block.start:
                    found = [group(s.loaded[residency.steps_of[shared[0]][0]])]
                wrote = [] if value.constant else [group(g) for g in s.written.get(home, ())]
                operands.append((found, wrote, 0 if value.constant else s.writers.get(home, 0)))
        return (
            [sorted(us - mark.us for us in servers) for servers in s.out.free],
            [us - mark.us for us in s.out.started],
            s.pool.free,
            [
                (max(us, floor) - mark.us, size, [group(g) for g in groups])
                for us, _, size, groups in sorted(s.pool.dead)
            ],
            [(sorted(s.pending[n]), s.level[n], s.has_loads[n], group(s.loaded[n])) for n in ahead],
            sorted(
                (n - mark.step, [(b.number - mark.booking, b.bytes, [group(g) for g in groups]) for b, groups in held])
                for n, held in s.expiring.items()
            ),
            sorted((p - mark.plan, key, group(g)) for (p, key), g in s.kept.items() if p >= mark.plan),
            [object() for n in (*s.spills, *(n for n, _ in s.copied if n >= mark.step))],  # copies are not shifted
            operands,
            [group(g) for i in block if s.ended[i] < block.start for g in s.fence(i)],
        )  # fmt: skip

    def _relative(self, g: int, mark: Mark) -> tuple[int, int]:
        """A group as what it is to a block that starts at ``mark``."""
        steps = len(self.s.loaded)
        if g in self.fixed:
            return 0, g
        if g < 2 * steps:
            return 1 + g // steps, g % steps - mark.step
        if g < self.s.after_moves:
            return 3, self.s.moved_first[g] - mark.plan
        return 4, g - mark.group

    # -- copying ------------------------------------------------------------------------------------------------

    def _copy(self, start: Mark, end: Mark, more: int) -> None:
        """Emit ``more`` blocks as the one from ``start`` to ``end``, and leave the state as they would."""
        s, out, period = self.s, self.s.out, self.repeat.period
        by = Mark._make(b - a for a, b in zip(start, end, strict=True))
        shifts = self._shifts(start, end)
        block = out.parts[-1]
        group_by, waits_by = shifts.of_all(block.group), shifts.of_all(block.waits.values)
        op_by = s.plans[end.plan].op - s.plans[start.plan].op
        for k in range(1, more + 1):
            table = block.table + np.array([0, op_by, 0, 0, 0], np.int32)[:, None] * np.int32(k)
            table[3] += group_by * np.int32(k)
            out.add(Drafts(table, Lists(block.waits.values + waits_by * np.int32(k), block.waits.at)))
        self._follow(block, by, more, shifts)
        created = s.pool.bookings[start.booking : end.booking]
        for k in range(1, more + 1):
            s.pool.bookings.extend(
                Booking(b.bytes, b.number + k * by.booking, [w + k * by.task for w in b.writers])
                for b in created
            )
        for n in s.pool.releases[start.release : end.release]:
            release = s.pool.bookings[n].release
            steps = [shifts.of(g) for g in release]
            for k in range(1, more + 1):
                s.pool.bookings[n + k * by.booking].release = tuple(
                    [g + k * d for g, d in zip(release, steps, strict=True)]
                )
        s.pool.released += more * by.release
        for i in range(start.plan, end.plan):
            here = s.home(s.plans[i].output.storage)
            for k in range(1, more + 1):
                there = s.home(s.plans[i + k * period].output.storage)
                if here in s.written:
                    s.written[there] = list(shifts.moved(s.written[here], k))
                s.writers[there] = s.writers[here]
                if i in s.moved:
                    s.moved.add(i + k * period)
        self._shift_state(end, by, more, shifts)

    def _follow(self, block: Drafts, by: Mark, more: int, shifts: _Shifts) -> None:
        """What the tasks of ``more`` copies of a block do to their groups, and to those that they wait for."""
        out = self.s.out
        waits = zip(block.waits.values.tolist(), block.queue[block.waits.owner].tolist(), strict=True)
        awaited = [(group, shifts.of(group), 1 << queue) for group, queue in waits]
        made = [(group, shifts.of(group)) for group in np.unique(block.group).tolist()]
        for k in range(1, more + 1):
            out.ends.extend([0.0] * by.group)
            out.seen.extend([0] * by.group)
            for group, apart in made:
                copy = group + k * apart
                out.ends[copy] = max(out.ends[copy], out.ends[group] + k * by.us)
            for group, apart, queue in awaited:
                out.seen[group + k * apart] |= queue

    def _shifts(self, start: Mark, end: Mark) -> _Shifts:
        """By how much the numbers of groups differ from block to block."""
        moves = sum(start.plan <= plan < end.plan for plan in self.s.moved_first.values())
        bounds = 2 * len(self.s.loaded), self.s.after_moves
        return _Shifts(self.fixed, bounds, (end.step - start.step, moves, end.group - start.group))

    def _shift_state(self, at: Mark, by: Mark, more: int, shifts: _Shifts) -> None:
        """Move the state at the boundary ``at`` on by so many blocks."""
        s, later_us, later = self.s, more * by.us, more * by.step
        s.out.free = [[us + later_us for us in servers] for servers in s.out.free]
        s.out.started = [us + later_us for us in s.out.started]
        s.pool.dead = [
            (us + later_us, order + more * by.release, size, shifts.moved(groups, more))
            for us, order, size, groups in s.pool.dead
        ]
        s.expiring = {
            n + later: [
                (s.pool.bookings[b.number + more * by.booking], shifts.moved(groups, more))
                for b, groups in held
            ]
            for n, held in s.expiring.items()
        }
        for n in range(at.step, at.step + self.reach + 1):
            s.pending[n + later] = {k: x for k, x in s.pending[n + later].items() if k in s.pending[n]}
            s.has_loads[n + later], s.level[n + later] = s.has_loads[n], s.level[n]
        period = self.repeat.period
        s.kept.update({
            (p + more * period, key): g + more * shifts.of(g) for (p, key), g in s.kept.items() if p >= at.plan
        })  # fmt: skip
        s.done = at.plan + more * period


@dataclass(frozen=True, slots=True)
class _Shifts:
    """By how much the number of a group differs from block to block: not at all if ``fixed``, else by ``by[i]`` for
    the first i of which it is below ``bounds[i]``."""

    fixed: frozenset[int]
    bounds: tuple[int, int]
    by: tuple[int, int, int]

    def of(self, group: int) -> int:
        """The shift of one group."""
        if group in self.fixed:
            return 0
        return self.by[0] if group < self.bounds[0] else self.by[1] if group < self.bounds[1] else self.by[2]

    def of_all(self, groups: Indices) -> Indices:
        """The shift of each group."""
        return np.array([self.of(group) for group in groups.tolist()], np.int32)

    def moved(self, groups: Iterable[int], blocks: int) -> tuple[int, ...]:
        """The groups that correspond to these so many blocks later."""
        return tuple([group + blocks * self.of(group) for group in groups])


def _less(number: int | None, first: int) -> int | None:
    return None if number is None else number - first


def _pair(pair: tuple[int, int] | None, first: int) -> tuple[int, int] | None:
    return None if pair is None else (pair[0] - first, pair[1])
