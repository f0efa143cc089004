"""The state of a schedule in the making: what was decided before, and all that changes while tasks are emitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, NamedTuple

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import brings_weights
from npusim.lowering.ir.plan import CONSTANT, Load, Plan, cmx_capacity, load_bytes
from npusim.lowering.schedule.emit import Emitter
from npusim.lowering.schedule.forms import (
    BOOKING,
    GROUP,
    LEFT,
    PART,
    PLAIN,
    PLAN,
    STEP,
    Ahead,
    Each,
    Groups,
    Mark,
    Row,
    Settled,
    Table,
)
from npusim.lowering.schedule.memory import Booking, Pool
from npusim.lowering.schedule.steps import COPY, Copy, Residency

#: The name of a load among those of its plan that are kept for several slices: (plan, Load.key).
KeptLoad = tuple[int, tuple[int, ...]]
#: A booking, and groups that use it.
_Use = tuple[Booking, tuple[int, ...]]


@dataclass(frozen=True)
class Given:
    """What is decided before scheduling: the op that each plan's tasks belong to is its ``accounts``, and ``homes``
    maps the storage of a piece to that of the Concat which holds it."""

    plans: Sequence[Plan]
    accounts: Sequence[int]
    residency: Residency
    homes: dict[int, int]
    hw: Hardware

    def home(self, storage: int) -> int:
        """The storage that holds a value in DDR (that of the Concat it is a piece of)."""
        while storage in self.homes:
            storage = self.homes[storage]
        return storage

    @cached_property
    def capacity(self) -> int:
        """CMX of a tile, bytes."""
        return cmx_capacity(self.hw)

    @cached_property
    def last_use(self) -> dict[KeptLoad, int]:
        """The last step that uses what a plan loads once and keeps."""
        steps = enumerate(self.residency.steps)
        return {(step.plan, load.key): i for i, step in steps for load in step.slice.loads if load.key}

    @cached_property
    def ended(self) -> list[int]:
        """For each plan the last one of the function before its own; -1 in the first function."""
        ended: list[int] = []
        for number, plan in enumerate(self.plans):
            new = number > 0 and plan.function != self.plans[number - 1].function
            ended.append(number - 1 if new else ended[-1] if ended else -1)
        return ended


class Write(NamedTuple):
    """A plan wrote (a part of) its output, by the tasks of a group or in CMX (None); ``last``: all of it is written."""

    plan: int
    group: int | None
    last: bool


class Spill(NamedTuple):
    """A copy in CMX that must make room: the room that it has, the group that made it and the plan that it is of."""

    copy: Copy
    booking: Booking
    group: int
    made: int


@dataclass
class State:
    """All that changes while tasks are emitted. Group n is that of the loads of step n, the group as many steps later
    that of its computes (``loaded``, ``computed``)."""

    given: Annotated[Given, Settled("constant")]
    out: Annotated[Emitter, PART]
    pool: Annotated[Pool, PART]
    level: Annotated[list[int], Ahead(PLAIN)]
    """CMX that is spoken for at every step, bytes."""
    pending: Annotated[list[dict[int, list[Load]]], Ahead(LEFT)]
    """The loads of every step, by operand, that are still to be emitted."""
    sizes: Annotated[list[dict[int, int]], Settled("constant")]
    """CMX that the loads of each step take at first, by operand, bytes."""
    has_loads: Annotated[list[bool], Ahead(PLAIN)]
    """Whether a load of a step has been emitted."""
    done: Annotated[int, PLAN] = 0
    """Plans before this one have had their DDR to DDR copies."""
    kept: Annotated[dict[KeptLoad, int], Table(Row((PLAN, PLAIN)), GROUP)] = field(default_factory=dict)
    """The group that loaded what a plan keeps."""
    expiring: Annotated[dict[int, list[_Use]], Table(STEP, Each(Row((BOOKING, Each(GROUP)))))] = field(
        default_factory=dict
    )
    """Bookings that end with a step, and groups that use them besides."""
    spills: Annotated[dict[int, list[Spill]], Table(STEP, Each(Row((COPY, BOOKING, GROUP, PLAN))))] = field(
        default_factory=dict
    )
    """Copies in CMX that are spilled before a step."""
    copied: Annotated[dict[tuple[int, int], int], Table(Row((STEP, PLAIN)), GROUP)] = field(
        default_factory=dict
    )
    """(step, operand) -> the group of the copy in CMX that it finds."""
    writes: Annotated[list[Write], Settled("a record")] = field(default_factory=list)
    written: Annotated[dict[int, list[int]], Settled("of the writes")] = field(default_factory=dict)
    """Home storage -> the groups that wrote it."""
    unread: Annotated[dict[int, list[int]], Settled("of the writes and who has seen them")] = field(
        default_factory=dict
    )
    """Home storage -> those of them that some queue of reads from DDR has not waited for."""
    writers: Annotated[dict[int, int], Settled("of the writes")] = field(default_factory=dict)
    """Home storage -> how many plans have still to write it."""
    filled: Annotated[dict[int, set[int]], Settled("constant from the first step on")] = field(
        default_factory=dict
    )
    """Plan -> its operands whose copies wait for nothing."""
    fills: Annotated[dict[int, int], Settled("constant from the first step on")] = field(default_factory=dict)
    """The group of such copies -> their plan."""
    first_free: Annotated[int, Settled("constant from the first step on")] = 0
    """The first group behind those."""

    @classmethod
    def start(cls, given: Given) -> State:
        """Nothing emitted yet."""
        steps, plans = len(given.residency.steps), given.plans
        out = Emitter(given.hw)
        for _ in range(2 * steps):
            out.group()
        pending = _own_loads(given)
        sizes = [{k: load_bytes(x, given.hw.tiles) for k, x in own.items()} for own in pending]
        pool = Pool(given.capacity)
        state = cls(given, out, pool, list(given.residency.level), pending, sizes, [False] * steps)
        for plan in plans:
            home = given.home(plan.output.storage)
            state.writers[home] = state.writers.get(home, 0) + 1
        return state

    def loaded(self, step: int) -> int:
        """The group of the loads of a step."""
        return step

    def computed(self, step: int) -> int:
        """The group of the computes that make the result of a step."""
        return len(self.has_loads) + self.given.residency.computed_by[step]

    def mark(self, plan: int, step: int) -> Mark:
        """How far everything has come where a plan and a step begin."""
        out, pool = self.out, self.pool
        us = max(max(servers) for servers in out.free)
        fills = sum(other < plan for other in self.fills.values())
        records = len(pool.bookings), len(pool.releases), len(self.writes)
        return Mark(plan, step, len(out.ends), fills, out.count, *records, us)

    def groups(self, fixed: frozenset[int]) -> Groups:
        """Which groups are which."""
        return Groups(len(self.has_loads), self.first_free, self.fills, self.out.ends, self.out.seen, fixed)

    # -- DDR ----------------------------------------------------------------------------------------------------

    def write(self, number: int, group: int | None, last: bool) -> None:
        """A plan has written (a part of) its output."""
        self.writes.append(Write(number, group, last))
        if group is not None:
            self.wrote(number, group)
        if last:
            self.writers[self.given.home(self.given.plans[number].output.storage)] -= 1

    def wrote(self, number: int, group: int) -> None:
        """A group of tasks writes (a part of) the output of a plan to DDR."""
        home = self.given.home(self.given.plans[number].output.storage)
        self.written.setdefault(home, []).append(group)
        self.unread.setdefault(home, []).append(group)

    def waits_for_data(self, plan: Plan, operand: int) -> bool:
        """Whether an operand is still to be written to DDR."""
        value = plan.inputs[operand]
        return not value.constant and self.writers.get(self.given.home(value.storage), 0) > 0

    def fence(self, number: int) -> int | None:
        """The home of what ends the function before that of a plan; nothing of the plan starts before it is written."""
        last = self.given.ended[number]
        return None if last < 0 else self.given.home(self.given.plans[last].output.storage)

    def _awaited(self, number: int, operand: int) -> list[int]:
        """The homes that must be written before an operand of a plan can be read from DDR."""
        plan, fence = self.given.plans[number], self.fence(number)
        own = operand != CONSTANT and not plan.inputs[operand].constant
        homes = [self.given.home(plan.inputs[operand].storage)] if own else []
        return homes if fence is None or fence in homes else [*homes, fence]

    def sources(self, number: int, operand: int) -> tuple[int, ...]:
        """Groups that must end before an operand of a plan can be read from DDR, without those that every queue of such
        reads has waited for: to wait for thousands of slices again for each of thousands would change nothing, and take
        long."""
        seen, every = self.out.seen, (1 << self.out.engines) - 1
        groups: list[int] = []
        for home in self._awaited(number, operand):
            unread = self.unread.get(home)
            if unread:
                self.unread[home] = unread = [group for group in unread if seen[group] & every != every]
                groups.extend(unread)
        return tuple(groups)

    def awaits_fill(self, number: int, operand: int) -> bool:
        """Whether an operand of a plan lies where copies that wait for nothing were written, which come first."""
        return any(self.written.get(home, (-1,))[0] in self.fills for home in self._awaited(number, operand))


def _own_loads(given: Given) -> list[dict[int, list[Load]]]:
    """The loads of every step by operand, without what its plan finds in CMX."""
    residency = given.residency
    copies = [copy for group in residency.copies.values() for copy in group]
    found = {(copy.step, copy.operand) for copy in copies if copy.until == copy.step}  # not spilled
    every: list[dict[int, list[Load]]] = []
    for index, step in enumerate(residency.steps):
        loads: dict[int, list[Load]] = {}
        for load in step.slice.loads:
            place = step.plan, load.operand
            if (
                (index, load.operand) not in found
                and place not in residency.resident
                and place not in residency.shared
                and not (step.plan in residency.weights and brings_weights(load))
            ):
                loads.setdefault(load.operand, []).append(load)
        every.append(loads)
    return every
