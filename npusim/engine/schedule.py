"""The schedule of a compiled Program, as machine code: what event.py does, in the order in which things are known.

A task whose queue predecessor and producers have ended can be given its times at once, whatever the time of day: its
start is a maximum of ends, and a maximum does not round. Without contended DDR that is all there is (max-plus).
Transfers that share DDR are the exception: how long one takes depends on the others in flight. They are held back, and
the earliest arrival or landing of one comes next. Nothing that is still unknown can happen before it, for all that is
unknown follows from one of them.

Importing this module imports numba.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from npusim.engine import flows as ddr
from npusim.engine.compile import Arrays, Indices
from npusim.engine.jit import kernel, part
from npusim.engine.timeline import Times

INF = np.inf


@kernel
def schedule(  # noqa: PLR0915 - one loop: calls that take many arrays cost more than what they would do
    arrays: Arrays,
    work_of: npt.NDArray[np.int32],
    duration: Times,
    latency: Times,
    moved: Times,
    capacity: float,
    start: Times,
    end: Times,
) -> int:
    """Start and end of every task, µs, to ``start`` and ``end``; returns how many tasks have ended.

    ``work_of`` is the position of each task in ``duration`` and ``latency``, µs, and ``moved``, bytes to and from DDR;
    ``capacity`` is what they share, bytes/µs, inf for no contention. Tasks that never start keep inf.
    """
    (
        queue_of,
        servers_at,
        fifo,
        fifo_at,
        _,
        _,
        holds,
        updates,
        updates_at,
        consumers,
        consumers_at,
        producers,
    ) = arrays
    servers = servers_at[-1]
    start[:] = end[:] = INF
    ready, held = zeros(len(work_of)), holds.copy()  # last release of a task's barriers, and how many to come
    released, pending = zeros(len(producers)), producers.copy()  # the same of a barrier's producers
    free = zeros(servers)  # when a server becomes free; inf while it moves bytes
    head, position = zeros(len(fifo_at)), fifo_at.copy()  # start of the last to leave, place of the next
    stack, stacked, top = fifo_at.copy(), zeros(len(fifo_at)), 0  # queues whose next task may start
    for queue in range(len(fifo_at) - 2, -1, -1):
        top = push(stack, stacked, top, queue)
    waits, waiting = np.empty((servers + len(stack), ddr.WAITING_COLUMNS)), 0
    flow, flows = np.empty((servers, ddr.FLOW_COLUMNS)), 0
    now = shared_us = 0.0
    done, ended = 0, -1

    while True:
        if ended >= 0:
            done += 1
            for update in range(updates_at[ended], updates_at[ended + 1]):
                barrier = updates[update]
                released[barrier] = max(released[barrier], end[ended])
                pending[barrier] -= 1
                if pending[barrier] == 0:
                    for wait in range(consumers_at[barrier], consumers_at[barrier + 1]):
                        task = consumers[wait]
                        ready[task] = max(ready[task], released[barrier])
                        held[task] -= 1
                        if held[task] == 0 and fifo[position[queue_of[task]]] == task:
                            top = push(stack, stacked, top, queue_of[task])
            ended = -1

        if top:
            queue = stack[top - 1]
            begin = INF
            task = fifo[position[queue]] if position[queue] < fifo_at[queue + 1] else -1
            if task >= 0 and held[task] == 0:
                server, certain = next_server(servers_at, queue, free)
                begin = max(head[queue], ready[task], free[server])
                if not certain and now < free[server] == begin < INF:  # a landing may free another one sooner
                    waiting = ddr.wait(waits, waiting, begin, -1, queue)
                    begin = INF
            if begin == INF:
                top -= 1
                stacked[queue] = 0
                continue
            work = work_of[task]
            start[task] = head[queue] = begin
            position[queue] += 1
            if capacity < INF and moved[work] > 0:
                waiting = ddr.wait(waits, waiting, begin + min(latency[work], duration[work]), task, server)
                free[server] = INF
            else:
                end[task] = free[server] = begin + duration[work]
                ended = task
            continue

        if not waiting and not flows:
            return done
        first, landing = ddr.earliest(waits, waiting), ddr.earliest(flow, flows)
        if flows and not (waiting and waits[first, ddr.UNTIL_US] < flow[landing, ddr.LAND_US]):
            now = flow[landing, ddr.LAND_US]
            ended, server = int(flow[landing, ddr.TASK]), int(flow[landing, ddr.SERVER])
            ddr.advance(flow, flows, now - shared_us)
            ddr.remove(flow, flows, landing)
            flows -= 1
            end[ended] = free[server] = now
            top = push(stack, stacked, top, queue_of[ended])
        else:
            now = waits[first, ddr.UNTIL_US]
            task, server = int(waits[first, ddr.WAITING_TASK]), int(waits[first, ddr.AT])
            ddr.remove(waits, waiting, first)
            waiting -= 1
            if task < 0:
                top = push(stack, stacked, top, server)
                continue
            ddr.advance(flow, flows, now - shared_us)
            work = work_of[task]
            moving_us = duration[work] - latency[work]
            cap = moved[work] / moving_us if moving_us > 0 else INF
            ddr.insert(flow, flows, start[task] + duration[work], moved[work], cap, task, server)
            flows += 1
        shared_us = now
        ddr.share(flow, flows, now, capacity)


@part
def zeros(count: int) -> Times:
    """As numpy's, which takes longer to compile."""
    array = np.empty(count)
    array[:] = 0.0
    return array


@part
def push(stack: Indices, stacked: Times, top: int, queue: int) -> int:
    """Put a queue on the stack, unless it is there; returns how many there are."""
    if stacked[queue] == 0:
        stacked[queue] = 1
        stack[top] = queue
        top += 1
    return top


@part
def next_server(servers_at: Indices, queue: int, free: Times) -> tuple[int, bool]:
    """The server of a queue that becomes free first, as far as is known, and whether it is known of all of them."""
    server = servers_at[queue]
    certain = free[server] < INF
    for other in range(server + 1, servers_at[queue + 1]):
        certain = certain and free[other] < INF
        if free[other] < free[server]:
            server = other
    return server, certain
