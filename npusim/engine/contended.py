"""The event engine's schedule with contended DDR, as one loop over a heap instead of SimPy processes.

The semantics are those of event.py, the arithmetic too; only the bookkeeping is cheaper. It returns starts and ends;
reasons.py derives the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf

import numpy as np

from npusim.costs.prices import Prices
from npusim.engine.deadlock import Deadlock, describe_deadlock, queue_members
from npusim.engine.sharing import BYTES_PER_US_PER_GBPS, fair_rates, own_cap
from npusim.engine.timeline import Times
from npusim.lowering.program import Program

END, ARRIVE = range(2)


def run_contended(program: Program, prices: Prices) -> tuple[Times, Times]:
    """Start and end of every task, µs. Raises Deadlock as the event engine does."""
    if prices.ddr_gbps is None:
        raise ValueError("run_contended needs a shared bandwidth: prices.ddr_gbps is None")
    loop = _Loop(program, prices, _Ddr(prices.ddr_gbps * BYTES_PER_US_PER_GBPS))
    for queue in range(len(program.queues)):
        loop.start_heads(queue, 0.0)
    loop.run()
    started = [start < inf for start in loop.start]
    if not all(started):
        raise Deadlock(describe_deadlock(program, started))
    return np.array(loop.start), np.array(loop.end)


@dataclass(slots=True, eq=False)
class _Flow:
    task: int
    bytes_left: float
    cap: float
    rate: float
    landing_us: float


class _Ddr:
    """Flows in flight, in order of arrival, and when the next of them lands."""

    def __init__(self, capacity: float) -> None:
        self.capacity = capacity
        self.flows: list[_Flow] = []
        self.shared_us = 0.0
        self.next: _Flow | None = None

    def arrive(self, flow: _Flow, now: float) -> None:
        self.advance(now)
        self.flows.append(flow)
        self.share(now)

    def land(self, flow: _Flow) -> None:
        now = flow.landing_us
        self.advance(now)
        self.flows.remove(flow)
        self.share(now)

    def advance(self, now: float) -> None:
        """Account for the bytes that have moved since the rates last changed."""
        elapsed = now - self.shared_us
        self.shared_us = now
        if elapsed > 0:
            for flow in self.flows:
                flow.bytes_left = max(flow.bytes_left - flow.rate * elapsed, 0.0)

    def share(self, now: float) -> None:
        """Give every flow its fair rate, and those whose rate changes a new landing."""
        first = None
        rates = fair_rates([flow.cap for flow in self.flows], self.capacity)
        for flow, rate in zip(self.flows, rates, strict=True):
            if rate != flow.rate:
                flow.rate = rate
                flow.landing_us = now + flow.bytes_left / rate
            if first is None or flow.landing_us < first.landing_us:
                first = flow
        self.next = first


class _Loop:
    """Heap entries are (time, number, what, task); entries for the same time keep their order."""

    def __init__(self, program: Program, prices: Prices, ddr: _Ddr) -> None:
        tasks = len(program.tasks)
        self.ddr = ddr
        self.duration = np.asarray(prices.duration_us, float).tolist()
        self.latency = np.asarray(prices.latency_us, float).tolist()
        self.ddr_bytes = np.asarray(prices.ddr_bytes, float).tolist()
        self.start = [inf] * tasks
        self.end = [inf] * tasks
        self.queue = [task.queue for task in program.tasks]
        self.updates = [task.updates for task in program.tasks]
        self.fifo = queue_members(program)
        self.position = [0] * len(program.queues)
        self.free = [queue.servers for queue in program.queues]
        self.pending = [0] * program.barriers
        for updates in self.updates:
            for barrier in updates:
                self.pending[barrier] += 1
        self.held = [0] * tasks  # barriers that a task still waits for
        self.consumers: list[list[int]] = [[] for _ in range(program.barriers)]
        for index, task in enumerate(program.tasks):
            for barrier in task.waits:
                if self.pending[barrier]:
                    self.held[index] += 1
                    self.consumers[barrier].append(index)
        self.heap: list[tuple[float, int, int, int]] = []
        self.number = 0

    def push(self, when: float, what: int, task: int) -> None:
        self.number += 1
        heappush(self.heap, (when, self.number, what, task))

    def run(self) -> None:
        """Until nothing happens any more: the next event is on the heap, or a landing."""
        heap, ddr = self.heap, self.ddr
        while heap or ddr.next:
            landing = ddr.next
            if landing and not (heap and heap[0][0] < landing.landing_us):
                ddr.land(landing)
                self.finish(landing.task, landing.landing_us)
                continue
            now, _, what, task = heappop(heap)
            if what == END:
                self.finish(task, now)
            else:
                duration, moved = self.duration[task], self.ddr_bytes[task]
                cap = own_cap(moved, duration, self.latency[task])
                ddr.arrive(_Flow(task, moved, cap, cap, self.start[task] + duration), now)

    def start_heads(self, queue: int, now: float) -> None:
        """Start whatever can start of one queue."""
        fifo = self.fifo[queue]
        while self.free[queue] and self.position[queue] < len(fifo):
            task = fifo[self.position[queue]]
            if self.held[task]:
                return
            self.free[queue] -= 1
            self.position[queue] += 1
            self.start[task] = now
            if self.ddr_bytes[task] > 0:
                self.push(now + min(self.latency[task], self.duration[task]), ARRIVE, task)
            else:
                self.push(now + self.duration[task], END, task)

    def finish(self, task: int, now: float) -> None:
        """A task has ended: free its server, count its barriers down, start what that allows."""
        self.end[task] = now
        queue = self.queue[task]
        self.free[queue] += 1
        wake = [queue]
        for barrier in self.updates[task]:
            self.pending[barrier] -= 1
            if not self.pending[barrier]:
                for consumer in self.consumers[barrier]:
                    self.held[consumer] -= 1
                    if not self.held[consumer]:
                        wake.append(self.queue[consumer])
        for one in wake:
            self.start_heads(one, now)
