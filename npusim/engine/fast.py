"""The fast engine: the event engine's schedules as machine code, for one design point or a whole axis of them.

Nothing is approximated. Where DDR is not contended a schedule is max-plus algebra, and its floats are exactly the event
engine's: the same additions, and maxima do not round. Where it is contended the same max-min fair sharing is followed
from arrival to arrival, and ends differ from the event engine's by the rounding of its timers only
(`python -m benchmarks.engine` prints by how much).

Latencies without contention are monotone: a task's start is built from the ends of others with max and + alone, and
so is the vector of times at which the servers of a queue become free (its smallest entry is replaced by a later one).
Longer durations therefore never shorten a fixed Program, with any number of servers.

numba is imported, and on first use its machine code compiled or loaded, when something is run.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from math import inf

import numpy as np
import numpy.typing as npt

from npusim.costs.prices import Prices, PriceTable
from npusim.engine.compile import Compiled, compile_program
from npusim.engine.deadlock import Deadlock, check_prices, check_table, describe_deadlock
from npusim.engine.sharing import BYTES_PER_US_PER_GBPS
from npusim.engine.timeline import Timeline, Times
from npusim.program import Program


def simulate_fast(program: Program | Compiled, prices: Prices) -> Timeline:
    """The event engine's Timeline, sooner. Pass a Compiled to save compiling the same Program again.

    Raises what ``event.simulate`` raises.
    """
    from npusim.engine.reasons import explain

    compiled = program if isinstance(program, Compiled) else compile_program(program)
    check_prices(compiled.program, prices)
    tasks = len(compiled.program.tasks)
    duration, latency, moved = (
        np.ascontiguousarray(column, float)
        for column in (prices.duration_us, prices.latency_us, prices.ddr_bytes)
    )
    gbps = np.nan if prices.ddr_gbps is None else prices.ddr_gbps
    start, end = _schedule(compiled, np.arange(tasks, dtype=np.int32), duration, latency, moved, gbps)
    reason, cause, server = np.empty(tasks, np.int8), np.empty(tasks, np.int64), np.empty(tasks, np.int8)
    explain(compiled.arrays, start, end, reason, cause, server)
    return Timeline(
        program=compiled.program,
        start_us=start,
        end_us=end,
        wait_reason=reason,
        wait_for=cause,
        contended_us=np.maximum(end - (start + duration), 0.0),
        server=server,
        engine="fast",
    )


def latencies(program: Program | Compiled, table: PriceTable, threads: int | None = None) -> Times:
    """Latency, µs, of one Program at many design points, shape (points,).

    ``table`` is what ``costs.price.price_points(program, hardwares)`` returns. Each latency equals, bit for bit, the
    ``latency_us`` of ``simulate_fast`` at ``table.prices(point)``, whatever the number of ``threads`` (one a processor,
    unless given). Raises Deadlock, and ValueError if the table does not fit the Program.
    """
    compiled = program if isinstance(program, Compiled) else compile_program(program)
    check_table(compiled.program, table)
    latency_us = np.zeros(len(table.ddr_gbps))

    def run(point: int) -> None:
        _, end = _schedule(
            compiled, table.work_of_task, table.duration_us[point], table.latency_us[point], table.ddr_bytes,
            table.ddr_gbps[point],
        )  # fmt: skip
        latency_us[point] = end.max(initial=0.0)

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        list(pool.map(run, range(len(latency_us))))
    return latency_us


def _schedule(
    compiled: Compiled,
    work_of: npt.NDArray[np.int32],
    duration: Times,
    latency: Times,
    moved: Times,
    gbps: float,
) -> tuple[Times, Times]:
    """Start and end of every task, µs; ``gbps`` is nan where DDR is not contended. Raises Deadlock."""
    from npusim.engine.schedule import schedule

    capacity = inf if np.isnan(gbps) else float(gbps) * BYTES_PER_US_PER_GBPS
    start, end = np.empty(len(work_of)), np.empty(len(work_of))
    if schedule(compiled.arrays, work_of, duration, latency, moved, capacity, start, end) < len(work_of):
        raise Deadlock(describe_deadlock(compiled.program, (start < inf).tolist()))
    return start, end
