"""A Program as flat arrays: what waits for what, for the kernels of the fast engine.

Everything that depends on durations is left out, so that one compilation serves any number of design points.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from npusim.lowering.program import Program

Indices = npt.NDArray[np.int32]


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
    queue = np.fromiter((task.queue for task in program.tasks), np.int32, tasks)
    producer, updated = _pairs([task.updates for task in program.tasks])
    producers = np.bincount(updated, minlength=barriers)
    consumer, awaited = _pairs([task.waits for task in program.tasks])
    first = np.unique(queue[consumer].astype(np.int64) * max(barriers, 1) + awaited, return_index=True)[1]
    first = np.sort(first[producers[awaited[first]] > 0])
    consumer, awaited = consumer[first], awaited[first]
    by_barrier = np.argsort(awaited, kind="stable")
    return Compiled(
        program,
        Arrays(
            queue=queue,
            servers_at=_starts([q.servers for q in program.queues]),
            fifo=np.argsort(queue, kind="stable").astype(np.int32),
            fifo_at=_starts(np.bincount(queue, minlength=queues)),
            waits=awaited,
            waits_at=_starts(np.bincount(consumer, minlength=tasks)),
            held=np.bincount(consumer, minlength=tasks).astype(np.int32),
            updates=updated,
            updates_at=_starts(np.bincount(producer, minlength=tasks)),
            consumers=consumer[by_barrier],
            consumers_at=_starts(np.bincount(awaited, minlength=barriers)),
            producers=producers.astype(np.int32),
        ),
    )


def _pairs(sets: list[tuple[int, ...]]) -> tuple[Indices, Indices]:
    """(task, barrier) of every element, as two arrays."""
    tasks = np.repeat(np.arange(len(sets), dtype=np.int32), [len(one) for one in sets])
    return tasks, np.fromiter(chain.from_iterable(sets), np.int32, len(tasks))


def _starts(counts: npt.ArrayLike) -> Indices:
    """Where each of several lists of these lengths begins, and where the last one ends."""
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
