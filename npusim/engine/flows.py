"""Transfers that share DDR, for the kernel of schedule.py: those that wait for their latency, and the flows.

Waiting entries and flows are rows of arrays, so many of them in use (flows in ascending order of their own caps); task
and server are kept as floats, which are exact. Importing this module imports numba.
"""

from __future__ import annotations

import numpy as np

from npusim.engine.jit import part
from npusim.engine.timeline import Times

INF = np.inf
#: Columns of a flow: when it lands at its rate, bytes left, its own cap and its rate (bytes/µs).
LAND_US, LEFT, CAP, RATE, TASK, SERVER, FLOW_COLUMNS = range(7)
#: Columns of what waits: until when, and the task and its server; or -1 and a queue to look at again.
UNTIL_US, WAITING_TASK, AT, WAITING_COLUMNS = range(4)


@part
def wait(waits: Times, waiting: int, until_us: float, task: int, at: int) -> int:
    """Let one more wait; returns how many do. A queue (task -1) waits once: a later call replaces an earlier one."""
    place = waiting
    if task < 0:
        place = 0
        while place < waiting and (waits[place, WAITING_TASK] >= 0 or waits[place, AT] != at):
            place += 1
    waits[place, UNTIL_US], waits[place, WAITING_TASK], waits[place, AT] = until_us, task, at
    return max(waiting, place + 1)


@part
def earliest(rows: Times, count: int) -> int:
    """The row of the least time (the first column of either array), the first of equals."""
    first = 0
    for one in range(1, count):
        if rows[one, 0] < rows[first, 0]:
            first = one
    return first


@part
def advance(flow: Times, flows: int, elapsed_us: float) -> None:
    """Account for the bytes that have moved since the rates last changed."""
    if elapsed_us > 0:
        for one in range(flows):
            flow[one, LEFT] = max(flow[one, LEFT] - flow[one, RATE] * elapsed_us, 0.0)


@part
def insert(
    flow: Times, flows: int, land_us: float, ddr_bytes: float, cap: float, task: int, server: int
) -> None:
    """Put a flow among ``flows`` others, behind those with the same cap."""
    place = flows
    while place and flow[place - 1, CAP] > cap:
        for column in range(FLOW_COLUMNS):
            flow[place, column] = flow[place - 1, column]
        place -= 1
    flow[place, LAND_US], flow[place, LEFT], flow[place, CAP], flow[place, RATE] = (
        land_us,
        ddr_bytes,
        cap,
        cap,
    )
    flow[place, TASK], flow[place, SERVER] = task, server


@part
def remove(rows: Times, count: int, place: int) -> None:
    """Take one of ``count`` rows out, and close the gap."""
    for one in range(place, count - 1):
        for column in range(rows.shape[1]):
            rows[one, column] = rows[one + 1, column]


@part
def share(flow: Times, flows: int, now: float, capacity: float) -> None:
    """Give every flow its max-min fair rate (sharing.fair_rates), and those whose rate changes a new landing."""
    asked, spare, level = 0.0, capacity, INF
    for one in range(flows):
        asked += flow[one, CAP]
    for one in range(flows):
        if asked > capacity and level == INF:
            even = spare / (flows - one)
            if flow[one, CAP] > even:
                level = even
            spare -= flow[one, CAP]
        rate = min(flow[one, CAP], level)
        if rate != flow[one, RATE]:
            flow[one, RATE] = rate
            flow[one, LAND_US] = now + flow[one, LEFT] / rate
