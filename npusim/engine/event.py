"""The reference engine: queues as SimPy processes, barriers as SimPy events, DDR as a shared resource.

What happens, and nothing else:

- Every queue is an in-order FIFO with one or more servers. Its head task waits for a free server and for all its
  barriers; those behind it wait too, even if a server is idle. The server that has been free for longest takes it
  (the lowest-numbered of equals). evidence/hardware.md#5.4, evidence/costs.md#5.
- A barrier is released when all its producers have ended. Barriers, dispatch and descriptors cost nothing.
- A task lasts ``duration_us``. Where DDR is contended, a transfer with ``ddr_bytes`` first waits out its latency and
  then flows at its max-min fair share of ``ddr_gbps``, recomputed whenever a flow arrives or departs.

Reasons are recorded at the point of waiting, and only for waits that take time: where a server and a barrier become
free at the same instant the queue is named, and of several producers that end together the last in Program order.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from math import inf

import numpy as np
from simpy import AnyOf, Environment, Event

from npusim.costs.prices import Prices
from npusim.engine.deadlock import Deadlock, check_prices, describe_deadlock, queue_members
from npusim.engine.sharing import BYTES_PER_US_PER_GBPS, fair_rates, own_cap
from npusim.engine.timeline import WAIT_REASONS, Timeline
from npusim.program import Program

NONE, QUEUE, BARRIER, SERVER = range(len(WAIT_REASONS))


def simulate(program: Program, prices: Prices) -> Timeline:
    """Run a Program at given prices; times in microseconds.

    Without contention every end is exactly ``start + duration`` and every start exactly the end of ``wait_for`` (or
    0). Raises Deadlock, naming heads and barriers, if a queue never drains; ValueError if prices do not fit.
    """
    check_prices(program, prices)
    machine = Machine(program, prices)
    machine.env.run()
    return machine.timeline()


class Machine:
    """The NPU at run time: what has started and ended, which barriers are still held, and the shared DDR."""

    def __init__(self, program: Program, prices: Prices) -> None:
        """Set the machine up at time 0, with one process a queue."""
        tasks = len(program.tasks)
        self.env = Environment(0.0)
        self.program = program
        self.duration: list[float] = np.asarray(prices.duration_us, float).tolist()
        self.latency: list[float] = np.asarray(prices.latency_us, float).tolist()
        self.ddr_bytes: list[float] = np.asarray(prices.ddr_bytes, float).tolist()
        self.ddr = None if prices.ddr_gbps is None else Ddr(self.env, prices.ddr_gbps * BYTES_PER_US_PER_GBPS)

        self.start = [inf] * tasks
        #: Known from a task's start on, but for transfers that share DDR; [-1] is the end of no task at all.
        self.end = [inf] * tasks + [0.0]
        self.reason = [NONE] * tasks
        self.cause = [-1] * tasks
        self.server = [0] * tasks

        self.waits = program.tasks.waits.tuples()
        self.updates = program.tasks.updates.tuples()
        self.pending = [0] * program.barriers  # producers that have not ended
        for updates in self.updates:
            for barrier in updates:
                self.pending[barrier] += 1
        self.released_us = [0.0] * program.barriers  # when the last producer so far ended, and which it was
        self.released_by = [-1] * program.barriers
        self.waiters: dict[int, Event] = {}

        for queue, fifo in zip(program.queues, queue_members(program), strict=True):
            self.env.process(self.drain(fifo, queue.servers))

    def drain(self, fifo: list[int], servers: int) -> Generator[Event, object, None]:
        """The process of one queue: bring task after task to the head and start it."""
        env, end = self.env, self.end
        last = [-1] * servers  # the task that each server runs, or ran last; -1 for none yet
        done: list[Event] = [Event(env)] * servers  # the event of its end
        reason, cause, server = NONE, -1, 0
        now = env.now
        for task in fifo:
            at_head = now
            if servers > 1:
                server = min(range(servers), key=lambda s: end[last[s]])
            while end[last[server]] > now:
                if servers > 1 and any(end[running] == inf for running in last):
                    yield AnyOf(env, done)  # a transfer among them: which one ends first is not known yet
                    server = min(range(servers), key=lambda s: end[last[s]])
                else:
                    yield done[server]
                now = env.now
            if now > at_head:
                reason, cause = (QUEUE if servers == 1 else SERVER), last[server]
            elif reason != NONE:
                reason = QUEUE  # it starts together with the one before it, for the same cause
            has_server = now
            for barrier in self.waits[task]:
                if self.pending[barrier]:
                    yield self.release_of(barrier)
                    now = env.now
            if now > has_server:
                reason = BARRIER
                cause = max(self.released_by[b] for b in self.waits[task] if self.released_us[b] == now)
            self.reason[task], self.cause[task], self.server[task] = reason, cause, server
            last[server] = task
            done[server] = self.begin(task)

    def begin(self, task: int) -> Event:
        """Start a task; the event fires at its end, after its barriers have been updated."""
        now = self.start[task] = self.env.now
        duration = self.duration[task]
        if self.ddr is not None and self.ddr_bytes[task] > 0:
            done = self.ddr.transfer(self.ddr_bytes[task], duration, self.latency[task])
        else:
            self.end[task] = now + duration
            done = self.env.timeout(duration)
        done.callbacks.append(partial(self.finish, task))
        return done

    def finish(self, task: int, _: Event) -> None:
        """A task has ended: count its barriers down and wake who waits for one that is released."""
        now = self.end[task] = self.env.now
        for barrier in self.updates[task]:
            if now > self.released_us[barrier] or task > self.released_by[barrier]:
                self.released_us[barrier], self.released_by[barrier] = now, task
            self.pending[barrier] -= 1
            if not self.pending[barrier] and barrier in self.waiters:
                self.waiters.pop(barrier).succeed()

    def release_of(self, barrier: int) -> Event:
        """The event of a held barrier's release; it exists only while somebody waits."""
        if barrier not in self.waiters:
            self.waiters[barrier] = self.env.event()
        return self.waiters[barrier]

    def timeline(self) -> Timeline:
        """The result, once nothing happens any more. Raises Deadlock if some task never started."""
        started = [start < inf for start in self.start]
        if not all(started):
            raise Deadlock(describe_deadlock(self.program, started))
        start, end = np.array(self.start), np.array(self.end[:-1])
        alone = start + np.array(self.duration)
        return Timeline(
            program=self.program,
            start_us=start,
            end_us=end,
            wait_reason=np.array(self.reason, np.int8),
            wait_for=np.array(self.cause, np.int64),
            contended_us=np.maximum(end - alone, 0.0),
            server=np.array(self.server, np.int8),
            engine="event",
        )


@dataclass(slots=True, eq=False)
class Flow:
    """One transfer's bytes on their way: what remains, how fast it goes, and when it will land at this rate.

    ``timer`` is the event that will look whether it has landed, at ``timer_us``; a flow that has been slowed down since
    lands later than its timer, which then is set again.
    """

    bytes_left: float
    cap: float
    rate: float
    lands_us: float
    timer_us: float
    timer: Event
    done: Event


class Ddr:
    """DRAM that all transfers in flight share max-min fairly; ``capacity`` in bytes/µs.

    A flow that is never throttled lands exactly ``duration`` after its task started. A flow that speeds up gets a new
    timer (the old one still fires, and is ignored); one that slows down keeps the one it has.
    """

    def __init__(self, env: Environment, capacity: float) -> None:
        """An idle DRAM."""
        self.env = env
        self.capacity = capacity
        self.flows: list[Flow] = []
        self.shared_us = 0.0  # until when bytes_left of the flows is accounted for

    def transfer(self, ddr_bytes: float, duration: float, latency: float) -> Event:
        """Start a transfer that would take ``duration`` alone; the event fires when its last byte has landed."""
        arrival = self.env.timeout(min(latency, duration))
        timer = self.env.timeout(duration)
        done = self.env.event()
        cap = own_cap(ddr_bytes, duration, latency)
        lands_us = self.env.now + duration
        flow = Flow(ddr_bytes, cap, cap, lands_us, lands_us, timer, done)
        arrival.callbacks.append(partial(self.arrive, flow))
        timer.callbacks.append(partial(self.land, flow))
        return done

    def arrive(self, flow: Flow, _: Event) -> None:
        """A transfer's latency is over: its bytes begin to flow."""
        self.advance()
        self.flows.append(flow)
        self.share()

    def land(self, flow: Flow, event: Event) -> None:
        """A flow has ended, unless its rate changed since this timer was set."""
        if flow.timer is not event:
            return
        if flow.lands_us > flow.timer_us:
            self.set_timer(flow)
        else:
            self.advance()
            self.flows.remove(flow)
            self.share()
            flow.done.succeed()

    def advance(self) -> None:
        """Account for the bytes that have moved since the rates last changed."""
        elapsed = self.env.now - self.shared_us
        self.shared_us = self.env.now
        if elapsed > 0:
            for flow in self.flows:
                flow.bytes_left = max(flow.bytes_left - flow.rate * elapsed, 0.0)

    def share(self) -> None:
        """Give every flow its fair rate, and those whose rate changes a new landing."""
        rates = fair_rates([flow.cap for flow in self.flows], self.capacity)
        for flow, rate in zip(self.flows, rates, strict=True):
            if rate != flow.rate:
                flow.rate = rate
                flow.lands_us = self.env.now + flow.bytes_left / rate
                if flow.lands_us < flow.timer_us:
                    self.set_timer(flow)

    def set_timer(self, flow: Flow) -> None:
        """Look again at a flow when it should land."""
        flow.timer_us = flow.lands_us
        flow.timer = self.env.timeout(max(flow.lands_us - self.env.now, 0.0))
        flow.timer.callbacks.append(partial(self.land, flow))
