"""A Program as flat arrays: what waits for what, for the kernels of the fast engine.

Everything that depends on durations is left out, so that one compilation serves any number of design points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from npusim.program import Indices, Program
from npusim.program.tasks import starts


class Arrays(NamedTuple):
    """The structure of a Program. A list of lists is one array of all elements and one, ``..._at``, of where each list
    begins (one longer than there are lists).

    ``queue`` of every task; ``servers_at`` of every queue, which numbers all servers through; the tasks of every queue
    in FIFO order (``fifo``); the barriers that a task waits for (``waits``) and updates (``updates``); the tasks that
    wait for a barrier (``consumers``) and how many producers it has. ``held`` is how many barriers a task waits for.

    Waits that cannot delay a task are left out: for barriers without producers, and for those that an earlier task of
    its queue waits for too.
    """

    queue: Indices
    servers_at: Indices
    fifo: Indices
    fifo_at: Indices
    waits: Indices
    waits_at: Indices
    held: Indices
    updates: Indices
    updates_at: Indices
    consumers: Indices
    consumers_at: Indices
    producers: Indices


@dataclass(frozen=True, slots=True)
class Compiled:
    """A Program and its structure as arrays."""

    program: Program
    arrays: Arrays


def compile_program(program: Program) -> Compiled:
    """The structure of a Program, for any number of runs at different prices."""
    queues, barriers, tasks = len(program.queues), program.barriers, len(program.tasks)
    queue, updates = program.tasks.queue, program.tasks.updates
    producers = np.bincount(updates.values, minlength=barriers)
    consumer, awaited = program.tasks.waits.owner, program.tasks.waits.values
    first = np.unique(queue[consumer].astype(np.int64) * max(barriers, 1) + awaited, return_index=True)[1]
    first = np.sort(first[producers[awaited[first]] > 0])
    consumer, awaited = consumer[first], awaited[first]
    by_barrier = np.argsort(awaited, kind="stable")
    return Compiled(
        program,
        Arrays(
            queue=queue,
            servers_at=starts([q.servers for q in program.queues]),
            fifo=np.argsort(queue, kind="stable").astype(np.int32),
            fifo_at=starts(np.bincount(queue, minlength=queues)),
            waits=awaited,
            waits_at=starts(np.bincount(consumer, minlength=tasks)),
            held=np.bincount(consumer, minlength=tasks).astype(np.int32),
            updates=updates.values,
            updates_at=updates.at,
            consumers=consumer[by_barrier],
            consumers_at=starts(np.bincount(awaited, minlength=barriers)),
            producers=producers.astype(np.int32),
        ),
    )
