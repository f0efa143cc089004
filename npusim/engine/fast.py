"""The fast engine: one in-order max-plus pass over a compiled Program.

Where DDR is not contended a schedule is max-plus algebra, and one pass in issue order gives exactly the event
engine's floats: the same additions, and maxima do not round. Where it is contended, ``simulate_fast`` runs the exact
event-driven loop of contended.py; nothing is approximated.

Latencies without contention are monotone: a task's start is built from the ends of others with max and + alone, and
so is the vector of times at which the servers of a queue become free (its smallest entry is replaced by a later one).
Longer durations therefore never shorten a fixed Program, with any number of servers.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapreplace, nlargest

import numpy as np
import numpy.typing as npt

from npusim.costs.prices import Prices
from npusim.engine.compile import Compiled, Indices, compile_program, layout_of
from npusim.engine.contended import run_contended
from npusim.engine.deadlock import check_prices
from npusim.engine.reasons import assign_servers, wait_reasons
from npusim.engine.sharing import BYTES_PER_US_PER_GBPS, own_cap
from npusim.engine.timeline import Timeline, Times
from npusim.lowering.program import Program

#: Working set of ``latencies``: design points are taken in groups of this many array bytes.
_GROUP_BYTES = 1 << 25


def simulate_fast(program: Program | Compiled, prices: Prices) -> Timeline:
    """The event engine's Timeline, sooner. Pass a Compiled to save compiling the same Program again.

    Raises what ``event.simulate`` raises.
    """
    layout = program.layout if isinstance(program, Compiled) else layout_of(program)
    check_prices(layout.program, prices)
    if prices.ddr_gbps is None or never_contended(layout.program, prices):
        compiled = program if isinstance(program, Compiled) else compile_program(program)
        start, end, server = _pass(compiled, prices.duration_us)
        contended = np.zeros(len(start))
    else:
        start, end = run_contended(layout.program, prices)
        server = assign_servers(layout, end)
        contended = np.maximum(end - (start + prices.duration_us), 0.0)
    reason, cause = wait_reasons(layout, start, end, server)
    return Timeline(
        program=layout.program,
        start_us=start,
        end_us=end,
        wait_reason=reason.astype(np.int8),
        wait_for=cause,
        contended_us=contended,
        server=server.astype(np.int8),
        engine="fast",
    )


def never_contended(program: Program, prices: Prices) -> bool:
    """Whether all queues together cannot ask for more DDR bandwidth than there is, whatever runs together."""
    caps: list[list[float]] = [[] for _ in program.queues]
    columns = (prices.ddr_bytes.tolist(), prices.duration_us.tolist(), prices.latency_us.tolist())
    for task, moved, duration, latency in zip(program.tasks, *columns, strict=True):
        if moved > 0:
            caps[task.queue].append(own_cap(moved, duration, latency))
    most = sum(sum(nlargest(q.servers, cap)) for q, cap in zip(program.queues, caps, strict=True))
    return prices.ddr_gbps is None or most <= prices.ddr_gbps * BYTES_PER_US_PER_GBPS


def _pass(compiled: Compiled, duration_us: Times) -> tuple[Times, Times, Indices]:
    """Start, end and server of every task."""
    lasts = np.zeros(len(compiled.first))
    lasts[compiled.step - 1] = duration_us
    start, end = [0.0], [0.0]
    started, ended = start.append, end.append
    pools = [[(0.0, s) for s in range(queue.servers)] for queue in compiled.layout.program.queues]
    head = [0.0] * len(pools)
    servers: list[int] = []
    served = servers.append
    steps = zip(compiled.first, compiled.second, compiled.more, compiled.pool, lasts.tolist(), strict=True)
    for first, second, more, queue, takes in steps:
        begin = end[first]
        other = end[second]
        if other > begin:  # noqa: PLR1730 - max() takes twice as long, and this loop is the engine
            begin = other
        for step in more:
            other = end[step]
            if other > begin:  # noqa: PLR1730
                begin = other
        if queue >= 0:
            pool = pools[queue]
            free, server = pool[0]
            if free > begin:  # noqa: PLR1730
                begin = free
            if head[queue] > begin:
                begin = head[queue]
            else:
                head[queue] = begin
            heapreplace(pool, (begin + takes, server))
            served(server)
        started(begin)
        ended(begin + takes)
    server_of = np.zeros(len(lasts) + 1, np.int64)
    server_of[1:][np.array(compiled.pool, np.int64) >= 0] = servers
    return np.array(start)[compiled.step], np.array(end)[compiled.step], server_of[compiled.step]


def latencies(program: Program | Compiled, durations: npt.ArrayLike) -> Times:
    """Latency, µs, of one Program at many design points without contention.

    ``durations`` has shape (points, tasks), µs; the result has shape (points,). Each equals the ``latency_us`` of
    ``simulate_fast`` with that row as ``duration_us`` and ``ddr_gbps`` None, and where DDR is contended it is a lower
    bound of the latency.
    """
    compiled = program if isinstance(program, Compiled) else compile_program(program)
    table = np.asarray(durations, float)
    if table.ndim != 2 or table.shape[1] != len(compiled.step):
        raise ValueError(f"durations has shape {table.shape}, expected (points, {len(compiled.step)})")
    group = max(_GROUP_BYTES // (8 * (len(compiled.first) + 1)), 16)
    parts = [_latencies(compiled, table[at : at + group]) for at in range(0, len(table), group)]
    return np.concatenate(parts) if parts else np.empty(0)


def _latencies(compiled: Compiled, table: Times) -> Times:
    """The pass of ``_pass`` with a row of design points in place of every number."""
    steps, points = len(compiled.first), len(table)
    end = np.zeros((steps + 1, points))
    end[compiled.step] = table.T
    rows = list(end)
    zero = np.zeros(points)
    pools = [[zero] * queue.servers for queue in compiled.layout.program.queues]
    head = [zero] * len(pools)
    begin = np.empty(points)
    every = zip(rows[1:], compiled.first, compiled.second, compiled.more, compiled.pool, strict=True)
    for row, first, second, more, queue in every:
        np.maximum(rows[first], rows[second], out=begin)
        for step in more:
            np.maximum(begin, rows[step], out=begin)
        if queue >= 0:
            np.maximum(begin, pools[queue][0], out=begin)
            head[queue] = np.maximum(begin, head[queue])
            np.add(row, head[queue], out=row)
            pools[queue] = _insert(pools[queue][1:], row)
        else:
            np.add(row, begin, out=row)
    return end.max(axis=0)


def _insert(ends: Iterable[Times], newest: Times) -> list[Times]:
    """Free times of servers in ascending order, with one more: a step of insertion sort, for all points at once."""
    result = []
    for end in ends:
        result.append(np.minimum(end, newest))
        newest = np.maximum(end, newest)
    return [*result, newest]
