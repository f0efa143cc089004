"""Emission: tasks in issue order on queues, with a running estimate of when each queue is free.

The estimate is the max-plus recurrence of the machine without DDR contention; it decides which DMA engine takes a
transfer and what is worth prefetching, as the vendor's scheduler does with its own cost model. It counts in whole ticks
of 2^-20 µs, so that sums are exact and equal blocks are scheduled equally however late they come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, NamedTuple

import numpy as np

from npusim.costs.price import work_us
from npusim.hardware.schema import Hardware
from npusim.lowering.schedule.drafts import Drafts
from npusim.lowering.schedule.forms import US, Each, Groups, Mark, Queues, Settled
from npusim.lowering.schedule.memory import Booking
from npusim.program import Lists, Queue
from npusim.program.work import BlockWork, DmaWork, DpuWork, Work

_TICKS_PER_US = 2.0**20
_OPEN = Settled("of the part that is open, which is none between blocks")


class Transfer(NamedTuple):
    """A transfer to append: ``op`` is what it is accounted to, ``waits`` are the groups that it waits for, ``group`` is
    its own; ``booking`` is the CMX that it fills, ``engine`` the one it must take (-1: any)."""

    work: DmaWork
    op: int
    waits: tuple[int, ...]
    group: int
    detail: str = ""
    booking: Booking | None = None
    engine: int = -1


@dataclass(slots=True)
class Emitter:
    """Appends tasks to queues, and keeps the clock of every queue (when its servers are ``free``, when its last task
    ``started``) and the end of every group, µs; ``seen`` are the queues that have waited for a group, as bits.

    A transfer by itself goes to the engine that is free first by the compiler's own count (``ports``), in which parts
    of one operand, one a tile, take all engines together, however many each of them has.

    ``works`` and ``details`` number the distinct ones, ``costs`` are the durations of works, µs. Tasks are kept in
    ``parts``; ``first`` is the number of the first task that is in none of them yet.
    """

    hw: Annotated[Hardware, Settled("constant")]
    free: Annotated[list[list[float]], Queues(Each(US, sort=True))] = field(init=False)
    started: Annotated[list[float], Queues(US)] = field(init=False)
    ports: Annotated[list[float], Queues(US)] = field(init=False)
    ends: Annotated[list[float], Settled("of the groups of the tasks")] = field(default_factory=list)
    seen: Annotated[list[int], Settled("of what the tasks wait for")] = field(default_factory=list)
    works: Annotated[dict[Work, int], Settled("grows; numbers stay")] = field(default_factory=dict)
    costs: Annotated[list[float], Settled("of the works")] = field(default_factory=list)
    details: Annotated[dict[str, int], Settled("grows; numbers stay")] = field(default_factory=dict)
    parts: Annotated[list[Drafts], Settled("the tasks")] = field(default_factory=list)
    first: Annotated[int, Settled("counts them")] = 0
    engines: Annotated[int, Settled("constant")] = field(init=False)
    first_dpu: Annotated[int, Settled("constant")] = field(init=False)
    first_shave: Annotated[int, Settled("constant")] = field(init=False)
    first_block: Annotated[int, Settled("constant")] = field(init=False)
    queue: Annotated[list[int], _OPEN] = field(default_factory=list)
    op: Annotated[list[int], _OPEN] = field(default_factory=list)
    work: Annotated[list[int], _OPEN] = field(default_factory=list)
    waits: Annotated[list[tuple[int, ...]], _OPEN] = field(default_factory=list)
    groups: Annotated[list[int], _OPEN] = field(default_factory=list)
    detail: Annotated[list[int], _OPEN] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start with empty queues."""
        hw = self.hw
        self.engines = hw.dma.engines
        self.first_dpu = hw.dma.channels * self.engines
        self.first_shave = self.first_dpu + hw.tiles
        self.first_block = self.first_shave + hw.tiles
        servers = [1] * self.first_shave + [hw.shave.per_tile] * hw.tiles + [1] * len(hw.blocks)
        self.free = [[0.0] * n for n in servers]
        self.started = [0.0] * len(servers)
        self.ports = [0.0] * self.first_dpu

    def _clear(self) -> None:
        self.queue, self.op, self.work, self.waits, self.groups, self.detail = [], [], [], [], [], []

    @property
    def count(self) -> int:
        """How many tasks there are."""
        return self.first + len(self.queue)

    def close(self) -> None:
        """Make a part of the tasks that are in none."""
        self.add(Drafts.of((self.queue, self.op, self.work, self.groups, self.detail), self.waits))
        self._clear()

    def add(self, part: Drafts) -> None:
        """Append a part; all tasks so far must be in one."""
        self.parts.append(part)
        self.first += len(part)

    def busy(self) -> frozenset[int]:
        """The queues whose clocks the last part's tasks can have hung on: those that they are on, and all from which an
        engine was, or may have been, chosen."""
        used = set(np.unique(self.parts[-1].queue).tolist())
        from_cmx = range(self.first_dpu - self.engines, self.first_dpu)
        return frozenset({*used, *range(self.engines), *(from_cmx if used.intersection(from_cmx) else ())})

    def repeat(self, by: Mark, op: int, blocks: int, groups: Groups) -> None:
        """Append the last part so many times more, each time ``by`` and ``op`` further: its tasks, and all that they do
        to their groups and to those that they wait for."""
        block = self.parts[-1]
        group_by, waits_by = groups.all_apart(block.group, by), groups.all_apart(block.waits.values, by)
        queues = block.queue[block.waits.owner].tolist()
        awaited = list(zip(block.waits.values.tolist(), waits_by.tolist(), queues, strict=True))
        made = sorted(set(zip(block.group.tolist(), group_by.tolist(), strict=True)))
        for k in range(1, blocks + 1):
            table = block.table + np.array([0, op, 0, 0, 0], np.int32)[:, None] * np.int32(k)
            table[3] += group_by * np.int32(k)
            self.add(Drafts(table, Lists(block.waits.values + waits_by * np.int32(k), block.waits.at)))
            self.ends.extend([0.0] * by.group)
            self.seen.extend([0] * by.group)
            for group, apart in made:
                copy = group + k * apart
                self.ends[copy] = max(self.ends[copy], self.ends[group] + k * by.us)
            for group, apart, queue in awaited:
                self.seen[group + k * apart] |= 1 << queue

    def group(self) -> int:
        """A new group of tasks; it ends when the last of them does."""
        self.ends.append(0.0)
        self.seen.append(0)
        return len(self.ends) - 1

    def number(self, work: Work) -> int:
        """The number of some work."""
        number = self.works.get(work)
        if number is None:
            number = self.works[work] = len(self.costs)
            self.costs.append(round(work_us(work, self.hw, allow_guess=True) * _TICKS_PER_US) / _TICKS_PER_US)
        return number

    def ready(self, waits: tuple[int, ...]) -> float:
        """When all of some groups have ended."""
        return max([self.ends[g] for g in waits], default=0.0)

    def start_us(self, transfers: int, waits: tuple[int, ...]) -> float:
        """When a load could start: several transfers take all engines, one the first that is free."""
        free = [self.free[e][0] for e in range(self.engines)]
        return max(self.ready(waits), max(free) if transfers > 1 else min(free))

    def takes_time(self, tasks: Sequence[int]) -> bool:
        """Whether any of these tasks, which must be in no part yet, has a duration."""
        return any(self.costs[self.work[i - self.first]] > 0 for i in tasks)

    def regroup(self, tasks: Sequence[int], group: int) -> None:
        """Put some tasks, which must be in no part yet, into another group."""
        for i in tasks:
            self.groups[i - self.first] = group

    def put(
        self, queue: int, op: int, work: int, waits: tuple[int, ...], group: int, detail: str = ""
    ) -> None:
        """Append one task (``work``: the number of what it does) to a queue; it need not wait again for what those
        before it in the queue have waited for."""
        servers, ends, seen, bit = self.free[queue], self.ends, self.seen, 1 << queue
        server = 0 if len(servers) == 1 else servers.index(min(servers))
        start = max(servers[server], self.started[queue])
        new = [wait for wait in waits if not seen[wait] & bit]
        for wait in new:
            seen[wait] |= bit
            if ends[wait] > start:  # noqa: PLR1730 - max() takes twice as long, and this is done for every task
                start = ends[wait]
        self.started[queue] = start
        end = start + self.costs[work]
        servers[server] = end
        ends[group] = max(ends[group], end)
        self.queue.append(queue)
        self.op.append(op)
        self.work.append(work)
        self.waits.append(tuple(new))
        self.groups.append(group)
        self.detail.append(self.details.setdefault(detail, len(self.details)))

    def compute(
        self, tile: int, op: int, work: Work, waits: tuple[int, ...], group: int, detail: str
    ) -> None:
        """Append a DPU or SHAVE task of a tile, a call of a block, or a transfer that is part of an op's body."""
        if isinstance(work, DmaWork):
            self.dma([Transfer(work, op, waits, group, detail)])
        else:
            firsts = {DpuWork: self.first_dpu, BlockWork: self.first_block}
            self.put(
                firsts.get(type(work), self.first_shave) + tile, op, self.number(work), waits, group, detail
            )

    def dma(self, batch: list[Transfer]) -> None:
        """Append transfers: each on its engine, or the one that can start it first. One is cut over the engines where
        it is long, they are level, and what comes behind it in the batch is less than half of it
        (evidence/lowering.md#3.1; the activation of a slice of rows that is split over channels, before its four
        tables: matmul 784 x 1280 x 256)."""
        known: tuple[int, ...] | None = None
        ready = 0.0
        numbers = [self.number(item.work) for item in batch]
        behind = sum([self.costs[number] for number in numbers])
        for i, (work, op, waits, group, detail, booking, engine) in enumerate(batch):
            first, number, last = self.count, numbers[i], i == len(batch) - 1
            base = 0 if work.src != "cmx" else self.first_dpu - self.engines
            if waits is not known:
                known, ready = waits, self.ready(waits)
            starts = [max(self.free[base + e][0], ready) for e in range(self.engines)]
            cost = self.costs[number]
            behind -= cost
            if engine >= 0:
                self.put(base + engine, op, number, waits, group, detail)
                self.ports[base + engine] = max(self.ports[base + engine], ready) + cost
                even = range(base, base + self.engines)
                if last or batch[i + 1].engine < 0:
                    self.ports[even.start : even.stop] = [max(self.ports[e] for e in even)] * self.engines
            elif behind < cost / 2 and self.splits(work, cost, starts):
                n = self.engines
                half = replace(work, bytes=-(-work.bytes // n), counted_bytes=-(-work.counted_bytes // n))
                halves = self.number(half)
                for e in range(n):
                    self.put(base + e, op, halves, waits, group, detail)
            else:
                seen = [max(self.ports[base + e], ready) for e in range(self.engines)]
                port = base + seen.index(min(seen))
                self.put(port, op, number, waits, group, detail)
                self.ports[port] = min(seen) + cost
            if booking is not None:
                booking.writers.extend(range(first, self.count))

    def queues_with_loads(self, work: DmaWork) -> bool:
        """Whether a transfer is on the queue of loads into CMX."""
        return work.src != "cmx" or self.hw.dma.channels == 1

    def splits(self, work: DmaWork, cost_us: float, starts: list[float]) -> bool:
        """Whether a lone transfer is cut over the engines."""
        if self.engines == 1 or work.kind not in ("copy", "convert"):
            return False
        rules = self.hw.software
        least = rules.dma_split_ddr_bytes if work.src == work.dst else rules.dma_split_bytes
        if work.src == work.dst == "cmx" or work.counted_bytes < least:
            return False
        return max(starts) - min(starts) < cost_us / 2


def queues(hw: Hardware) -> tuple[Queue, ...]:
    """The FIFOs of a machine: DMA engine x source memory, then per tile DPU and SHAVE, then those of blocks."""
    sources = ("ddr", "cmx") if hw.dma.channels == 2 else ("",)
    dma = [
        Queue(f"DMA {e} {c.upper()}".rstrip(), "dma", e, c) for c in sources for e in range(hw.dma.engines)
    ]
    dpu = [Queue(f"DPU {t}", "dpu", t) for t in range(hw.tiles)]
    shave = [Queue(f"SHAVE {t}", "shave", t, servers=hw.shave.per_tile) for t in range(hw.tiles)]
    beside = [Queue(name, "block", number) for number, name in enumerate(hw.blocks)]
    return (*dma, *dpu, *shave, *beside)
