"""Emission: tasks in issue order on queues, with a running estimate of when each queue is free.

The estimate is the max-plus recurrence of the machine without DDR contention; it decides which DMA engine takes a
transfer and what is worth prefetching, as the vendor's scheduler does with its own cost model. It counts in whole ticks
of 2^-20 µs, so that sums are exact and equal blocks are scheduled equally however late they come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npusim.costs.price import work_us
from npusim.hardware.schema import Hardware
from npusim.lowering.schedule.memory import Booking
from npusim.program import Indices, Lists, Queue
from npusim.program.work import DmaWork, DpuWork, Work

#: Work, op, groups it waits for, its own group, what it is, the CMX that it fills, and its engine (-1: any).
Transfer = tuple[DmaWork, int, tuple[int, ...], int, str, Booking | None, int]
_TICKS_PER_US = 2.0**20


@dataclass(frozen=True, slots=True)
class Drafts:
    """Tasks in the making, as columns: ``table`` has a row for each of queue, op, work, group and detail.

    ``waits`` and ``group`` are groups of tasks, which become barriers; ``work`` and ``detail`` are numbers in the
    Emitter's tables.
    """

    table: Indices
    waits: Lists

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], waits: Sequence[Sequence[int]]) -> Drafts:
        """The five rows of a table, and the groups that each task waits for."""
        return cls(np.array(rows, np.int32).reshape(5, -1), Lists.of(waits))

    @classmethod
    def joined(cls, parts: Sequence[Drafts]) -> Drafts:
        """Some drafts behind each other."""
        table = np.concatenate([part.table for part in parts], axis=1)
        return cls(table, Lists.joined([part.waits for part in parts]))

    @property
    def queue(self) -> Indices:
        """The queue of every task."""
        return self.table[0]

    @property
    def op(self) -> Indices:
        """What every task is accounted to."""
        return self.table[1]

    @property
    def work(self) -> Indices:
        """The number of the work of every task."""
        return self.table[2]

    @property
    def group(self) -> Indices:
        """The group of every task."""
        return self.table[3]

    @property
    def detail(self) -> Indices:
        """The number of the detail of every task."""
        return self.table[4]

    def __len__(self) -> int:
        """How many tasks there are."""
        return self.table.shape[1]

    def take(self, which: Indices) -> Drafts:
        """The tasks of these numbers, in their order."""
        return Drafts(self.table[:, which], self.waits.take(which))


def queues(hw: Hardware) -> tuple[Queue, ...]:
    """The FIFOs of a machine: DMA engine x source memory, then per tile DPU and SHAVE."""
    sources = ("ddr", "cmx") if hw.dma.channels == 2 else ("",)
    dma = [
        Queue(f"DMA {e} {c.upper()}".rstrip(), "dma", e, c) for c in sources for e in range(hw.dma.engines)
    ]
    dpu = [Queue(f"DPU {t}", "dpu", t) for t in range(hw.tiles)]
    shave = [Queue(f"SHAVE {t}", "shave", t, servers=hw.shave.per_tile) for t in range(hw.tiles)]
    return (*dma, *dpu, *shave)


class Emitter:
    """Appends tasks and keeps the clock of every queue (when its servers are ``free``, when its last task ``started``)
    and the end of every group, µs; ``seen`` are the queues that have waited for a group, as bits.

    ``works`` and ``details`` number the distinct ones. Tasks are kept in ``parts``; ``first`` is the number of the
    first task that is in none of them yet.
    """

    def __init__(self, hw: Hardware) -> None:
        """Start with empty queues."""
        self.hw = hw
        self.ends: list[float] = []
        self.seen: list[int] = []
        self.engines = hw.dma.engines
        self.first_dpu = hw.dma.channels * self.engines
        self.first_shave = self.first_dpu + hw.tiles
        servers = [1] * self.first_shave + [hw.shave.per_tile] * hw.tiles
        self.free: list[list[float]] = [[0.0] * n for n in servers]
        self.started = [0.0] * len(servers)
        self.works: dict[Work, int] = {}
        self.costs: list[float] = []
        self.details: dict[str, int] = {}
        self.parts: list[Drafts] = []
        self.first = 0
        self._clear()

    def _clear(self) -> None:
        self.queue: list[int] = []
        self.op: list[int] = []
        self.work: list[int] = []
        self.waits: list[tuple[int, ...]] = []
        self.groups: list[int] = []
        self.detail: list[int] = []

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
        self, queue: int, op: int, work: Work, waits: tuple[int, ...], group: int, detail: str = ""
    ) -> None:
        """Append one task to a queue; it need not wait again for what those before it in the queue have waited for."""
        servers, ends, seen, bit = self.free[queue], self.ends, self.seen, 1 << queue
        server = 0 if len(servers) == 1 else servers.index(min(servers))
        start = max(servers[server], self.started[queue])
        new = [wait for wait in waits if not seen[wait] & bit]
        for wait in new:
            seen[wait] |= bit
            if ends[wait] > start:  # noqa: PLR1730 - max() takes twice as long, and this is done for every task
                start = ends[wait]
        self.started[queue] = start
        number = self.number(work)
        end = start + self.costs[number]
        servers[server] = end
        ends[group] = max(ends[group], end)
        self.queue.append(queue)
        self.op.append(op)
        self.work.append(number)
        self.waits.append(tuple(new))
        self.groups.append(group)
        self.detail.append(self.details.setdefault(detail, len(self.details)))

    def compute(
        self, tile: int, op: int, work: Work, waits: tuple[int, ...], group: int, detail: str
    ) -> None:
        """Append a DPU or SHAVE task of a tile, or a transfer that is part of an op's body."""
        if isinstance(work, DmaWork):
            self.dma([(work, op, waits, group, detail, None, -1)])
        else:
            first = self.first_dpu if isinstance(work, DpuWork) else self.first_shave
            self.put(first + tile, op, work, waits, group, detail)

    def dma(self, batch: list[Transfer]) -> None:
        """Append transfers: each on its engine, or the one that can start it first. One is cut over the engines where
        it is long, they are level, and what comes behind it in the batch is less than half of it
        (evidence/lowering.md#3.1; the activation of a slice of rows that is split over channels, before its four
        tables: matmul 784 x 1280 x 256)."""
        known: tuple[int, ...] | None = None
        ready = 0.0
        behind = sum(self.costs[self.number(item[0])] for item in batch)
        for work, op, waits, group, detail, booking, engine in batch:
            first = self.count
            base = 0 if work.src == "ddr" else self.first_dpu - self.engines
            if waits is not known:
                known, ready = waits, self.ready(waits)
            starts = [max(self.free[base + e][0], ready) for e in range(self.engines)]
            behind -= self.costs[self.number(work)]
            if engine >= 0:
                self.put(base + engine, op, work, waits, group, detail)
            elif behind < self.costs[self.number(work)] / 2 and self.splits(work, starts):
                n = self.engines
                half = DmaWork(
                    work.src, work.dst, -(-work.bytes // n), -(-work.counted_bytes // n), work.kind
                )
                for e in range(n):
                    self.put(base + e, op, half, waits, group, detail)
            else:
                self.put(base + starts.index(min(starts)), op, work, waits, group, detail)
            if booking is not None:
                booking.writers.extend(range(first, self.count))

    def queues_with_loads(self, work: DmaWork) -> bool:
        """Whether a transfer is on the queue of loads from DDR."""
        return work.src == "ddr" or self.hw.dma.channels == 1

    def splits(self, work: DmaWork, starts: list[float]) -> bool:
        """Whether a lone transfer is cut over the engines."""
        if self.engines == 1 or work.kind not in ("copy", "convert"):
            return False
        if work.src == work.dst == "cmx" or work.bytes <= self.hw.software.dma_split_bytes:
            return False
        return max(starts) - min(starts) < self.costs[self.number(work)] / 2
