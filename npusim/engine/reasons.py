"""Why every task waited, from starts and ends alone: what the event engine records as it goes, on arrays."""

from __future__ import annotations

from heapq import heapreplace

import numpy as np

from npusim.engine.compile import Indices, Layout
from npusim.engine.timeline import WAIT_REASONS, Times

NONE, QUEUE, BARRIER, SERVER = range(len(WAIT_REASONS))


def assign_servers(layout: Layout, end_us: Times) -> Indices:
    """The server each task runs on: the one that has been free for longest, the lowest-numbered of equals."""
    server = np.zeros(len(end_us), np.int64)
    ends = end_us.tolist()
    pools: dict[int, list[tuple[float, int]]] = {}
    for task in np.flatnonzero(layout.servers > 1).tolist():
        queue = layout.program.tasks[task].queue
        pool = pools.setdefault(queue, [(0.0, s) for s in range(layout.program.queues[queue].servers)])
        server[task] = pool[0][1]
        heapreplace(pool, (ends[task], pool[0][1]))
    return server


def wait_reasons(layout: Layout, start: Times, end: Times, server: Indices) -> tuple[Indices, Indices]:
    """``wait_reason`` and ``wait_for`` of a Timeline.

    A task starts at the latest of: the start of the task before it in its queue, the end of the one that ran before
    it on its server, and the release of its barriers. Of equal times the first in this list is the reason. It names
    whatever the earlier task waited for, or the one on the server, or the last producer to end (the last in the
    Program's order of equals).
    """
    at_head = np.where(layout.before >= 0, start[layout.before], 0.0)
    on_server = _before_on_server(layout, server)
    has_server = np.where(on_server >= 0, end[on_server], 0.0)

    reason = np.where(layout.servers > 1, SERVER, QUEUE)
    cause = on_server.copy()
    blocked = start > np.maximum(at_head, has_server)
    reason[blocked] = BARRIER
    cause[blocked] = _last_producers(layout, start, end)[blocked]
    inherits = ~blocked & (has_server <= at_head)
    first = inherits & (layout.before < 0)
    reason[first], cause[first] = NONE, -1

    order = layout.by_queue
    takes = np.maximum.accumulate(np.where((inherits & ~first)[order], 0, np.arange(len(order))))
    source = np.empty(len(order), np.int64)
    source[order] = order[takes]
    reason = np.where(inherits & (reason[source] != NONE), QUEUE, reason[source])
    return reason, cause[source]


def _before_on_server(layout: Layout, server: Indices) -> Indices:
    """The task that ran before each task on the same server of the same queue, or -1."""
    pooled = layout.by_queue[layout.servers[layout.by_queue] > 1]
    key = np.column_stack((layout.queue[pooled], server[pooled]))
    order = np.lexsort((key[:, 1], key[:, 0]))
    tasks, key = pooled[order], key[order]
    same = np.flatnonzero((key[1:] == key[:-1]).all(axis=1))
    before = layout.before.copy()
    before[pooled] = -1
    before[tasks[same + 1]] = tasks[same]
    return before


def _last_producers(layout: Layout, start: Times, end: Times) -> Indices:
    """For each task the last producer of those of its barriers that are released when it starts, or -1."""
    barriers = layout.program.barriers
    producer, updated = layout.updates
    released = np.zeros(barriers)
    np.maximum.at(released, updated, end[producer])
    last = np.full(barriers, -1)
    final = end[producer] == released[updated]
    np.maximum.at(last, updated[final], producer[final])
    consumer, awaited = layout.waits
    at_release = released[awaited] == start[consumer]
    cause = np.full(len(start), -1)
    np.maximum.at(cause, consumer[at_release], last[awaited[at_release]])
    return cause
