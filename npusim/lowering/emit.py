"""Emission: tasks in issue order on queues, with a running estimate of when each queue is free.

The estimate is the max-plus recurrence of the machine without DDR contention; it decides which DMA engine takes a
transfer and what is worth prefetching, as the vendor's scheduler does with its own cost model.
"""

from __future__ import annotations

from dataclasses import dataclass

from npusim.costs.price import work_us
from npusim.costs.work import DmaWork, DpuWork, Work
from npusim.hardware.schema import Hardware
from npusim.lowering.memory import Booking
from npusim.lowering.program import Queue

#: Work, op, groups it waits for, its own group, what it is, and the CMX that it fills.
Transfer = tuple[DmaWork, int, tuple[int, ...], int, str, Booking | None]


@dataclass(slots=True)
class Draft:
    """A task in the making: ``waits``, ``group`` and ``also`` (-1: none) are groups of tasks, which become barriers."""

    queue: int
    op: int
    work: Work
    waits: tuple[int, ...]
    group: int
    detail: str
    also: int = -1


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
    """Appends tasks and keeps the clock of every queue and the end of every group, µs."""

    def __init__(self, hw: Hardware) -> None:
        """Start with empty queues."""
        self.hw = hw
        self.drafts: list[Draft] = []
        self.ends: list[float] = []
        self.engines = hw.dma.engines
        self.first_dpu = hw.dma.channels * self.engines
        self.first_shave = self.first_dpu + hw.tiles
        servers = [1] * self.first_shave + [hw.shave.per_tile] * hw.tiles
        self.free: list[list[float]] = [[0.0] * n for n in servers]
        self.known: dict[Work, tuple[Work, float]] = {}

    def group(self) -> int:
        """A new group of tasks; it ends when the last of them does."""
        self.ends.append(0.0)
        return len(self.ends) - 1

    def priced(self, work: Work) -> tuple[Work, float]:
        """The one object that stands for all equal work, and µs of it by itself."""
        known = self.known.get(work)
        if known is None:
            known = self.known[work] = work, work_us(work, self.hw, allow_guess=True)
        return known

    def ready(self, waits: tuple[int, ...]) -> float:
        """When all of some groups have ended."""
        return max([self.ends[g] for g in waits], default=0.0)

    def start_us(self, transfers: int, waits: tuple[int, ...]) -> float:
        """When a load could start: several transfers take all engines, one the first that is free."""
        free = [self.free[e][0] for e in range(self.engines)]
        return max(self.ready(waits), max(free) if transfers > 1 else min(free))

    def put(
        self, queue: int, op: int, work: Work, waits: tuple[int, ...], group: int, detail: str = ""
    ) -> None:
        """Append one task to a queue."""
        servers, ends = self.free[queue], self.ends
        server = 0 if len(servers) == 1 else servers.index(min(servers))
        end = servers[server]
        for wait in waits:
            if ends[wait] > end:  # noqa: PLR1730 - max() takes twice as long, and this is done for every task
                end = ends[wait]
        work, cost = self.priced(work)
        end += cost
        servers[server] = end
        ends[group] = max(ends[group], end)
        self.drafts.append(Draft(queue, op, work, waits, group, detail))

    def compute(
        self, tile: int, op: int, work: Work, waits: tuple[int, ...], group: int, detail: str
    ) -> None:
        """Append a DPU or SHAVE task of a tile, or a transfer that is part of an op's body."""
        if isinstance(work, DmaWork):
            self.dma([(work, op, waits, group, detail, None)])
        else:
            first = self.first_dpu if isinstance(work, DpuWork) else self.first_shave
            self.put(first + tile, op, work, waits, group, detail)

    def dma(self, batch: list[Transfer]) -> None:
        """Append transfers: each on the engine that can start it first; the last one of a batch is cut over the
        engines where it is long and they are level (facts/vendor_lowering.md 3.1)."""
        for position, (work, op, waits, group, detail, booking) in enumerate(batch):
            first = len(self.drafts)
            base = 0 if work.src == "ddr" else self.first_dpu - self.engines
            ready = self.ready(waits)
            starts = [max(self.free[base + e][0], ready) for e in range(self.engines)]
            if position == len(batch) - 1 and self.splits(work, starts):
                n = self.engines
                half = DmaWork(
                    work.src, work.dst, -(-work.bytes // n), -(-work.counted_bytes // n), work.kind
                )
                for e in range(n):
                    self.put(base + e, op, half, waits, group, detail)
            else:
                self.put(base + starts.index(min(starts)), op, work, waits, group, detail)
            if booking is not None:
                booking.writers.extend(range(first, len(self.drafts)))

    def splits(self, work: DmaWork, starts: list[float]) -> bool:
        """Whether a lone transfer is cut over the engines."""
        if self.engines == 1 or work.kind not in ("copy", "convert"):
            return False
        if work.src == work.dst == "cmx" or work.bytes <= self.hw.software.dma_split_bytes:
            return False
        return max(starts) - min(starts) < self.priced(work)[1] / 2
