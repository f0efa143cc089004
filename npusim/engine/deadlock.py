"""What to say when a Program cannot run to its end, and the checks both engines make before they start."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npusim.costs.prices import Prices, PriceTable
from npusim.program import Program


class Deadlock(RuntimeError):
    """Some queues never drained: the tasks at their heads wait for each other, in a circle."""


def queue_members(program: Program) -> list[list[int]]:
    """Tasks of every queue, in FIFO order (which is the Program's order)."""
    members: list[list[int]] = [[] for _ in program.queues]
    for index, queue in enumerate(program.tasks.queue.tolist()):
        members[queue].append(index)
    return members


def describe_deadlock(program: Program, started: Sequence[bool]) -> str:
    """One line per stuck queue: its head task, and the barriers and unfinished producers that the head waits for.

    ``started`` says which tasks ever started. A task that starts always ends, so the others are the stuck ones.
    """
    missing: list[list[int]] = [[] for _ in range(program.barriers)]
    for index, task in enumerate(program.tasks):
        if not started[index]:
            for barrier in task.updates:
                missing[barrier].append(index)
    lines = []
    for number, members in enumerate(queue_members(program)):
        head = next((index for index in members if not started[index]), None)
        if head is None:
            continue
        blocking = [
            f"barrier {barrier} (producers {', '.join(_label(program, p) for p in missing[barrier])})"
            for barrier in program.tasks[head].waits
            if missing[barrier]
        ]
        lines.append(
            f"queue {number} {program.queues[number].name!r}: {_label(program, head)} waits for "
            + ("; ".join(blocking) or "a server")
        )
    return f"program {program.name!r} deadlocks, {len(lines)} queues never drain:\n  " + "\n  ".join(lines)


def _label(program: Program, index: int) -> str:
    task = program.tasks[index]
    return f"task {index} of {program.ops[task.op].name!r} on {program.queues[task.queue].name!r}"


def check_prices(program: Program, prices: Prices) -> None:
    """Raise ValueError unless the prices are one finite, non-negative number per task of the Program."""
    tasks = len(program.tasks)
    for name in ("duration_us", "latency_us", "ddr_bytes"):
        values = np.asarray(getattr(prices, name))
        if values.shape != (tasks,):
            raise ValueError(f"prices.{name} has shape {values.shape}, the program has {tasks} tasks")
        bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
        if len(bad):
            raise ValueError(f"prices.{name} of {_label(program, int(bad[0]))} is {values[bad[0]]}")
    if prices.ddr_gbps is not None and not prices.ddr_gbps > 0:
        raise ValueError(
            f"prices.ddr_gbps is {prices.ddr_gbps}; it must be positive, or None for no contention"
        )


def check_table(program: Program, table: PriceTable) -> None:
    """Raise ValueError unless the table has a column for every task, and finite, non-negative prices in all of them."""
    tasks, works = len(program.tasks), len(table.ddr_bytes)
    if table.work_of_task.shape != (tasks,):
        raise ValueError(f"the table is of {len(table.work_of_task)} tasks, the program has {tasks} tasks")
    if tasks and not 0 <= table.work_of_task.min() <= table.work_of_task.max() < works:
        raise ValueError(f"work_of_task must be columns of the table, 0 to {works - 1}")
    for name in ("duration_us", "latency_us", "ddr_bytes"):
        values = getattr(table, name)
        shape = (works,) if name == "ddr_bytes" else (len(table.ddr_gbps), works)
        if values.shape != shape:
            raise ValueError(f"{name} has shape {values.shape}, expected {shape}")
        if not (np.isfinite(values) & (values >= 0)).all():
            raise ValueError(f"{name} has a price that is negative or not finite")
    if (table.ddr_gbps <= 0).any():
        raise ValueError("ddr_gbps must be positive, or nan for no contention")
