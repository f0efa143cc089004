"""A Program as a list of max-plus steps: which ends each step waits for, in an order in which they are all known.

Everything that depends on durations is left out, so that one compilation serves any number of design points.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from npusim.engine.deadlock import Deadlock, describe_deadlock, queue_members
from npusim.lowering.program import Program

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Layout:
    """The structure of a Program as arrays over its tasks, in its order.

    ``queue`` of each task and how many ``servers`` that has; ``before``, the task before it in its queue, or -1;
    ``by_queue``, all tasks, queue by queue in FIFO order; and the pairs (task, barrier) of all waits and updates.
    """

    program: Program
    queue: Indices
    servers: Indices
    before: Indices
    by_queue: Indices
    waits: tuple[Indices, Indices]
    updates: tuple[Indices, Indices]


@dataclass(frozen=True, slots=True)
class Compiled:
    """Steps 1 .. n of a Program (step 0 is time zero): one a task, and one a barrier that many wait for.

    Step ``i + 1`` starts at the latest end of ``first[i]``, ``second[i]`` (0 for none) and ``more[i]``, which hold
    its queue predecessor (if its queue has one server) and the producers of its barriers, without those that another
    one implies. ``pool[i]`` is the number of its queue if that has several servers, else -1: it then also waits for
    the start of the task before it in the queue, and for a server. ``step`` gives every task's step.
    """

    layout: Layout
    first: list[int]
    second: list[int]
    more: list[tuple[int, ...]]
    pool: list[int]
    step: Indices


def layout_of(program: Program) -> Layout:
    """The Layout of a Program."""
    queue = np.array([task.queue for task in program.tasks], np.int64)
    by_queue = np.argsort(queue, kind="stable")
    before = np.full(len(queue), -1)
    follows = np.flatnonzero(queue[by_queue][1:] == queue[by_queue][:-1])
    before[by_queue[follows + 1]] = by_queue[follows]
    return Layout(
        program=program,
        queue=queue,
        servers=np.array([q.servers for q in program.queues], np.int64)[queue],
        before=before,
        by_queue=by_queue,
        waits=_pairs([task.waits for task in program.tasks]),
        updates=_pairs([task.updates for task in program.tasks]),
    )


def compile_program(program: Program) -> Compiled:
    """Compile a Program. Raises Deadlock if its tasks wait for each other in a circle.

    Tasks keep the Program's order wherever that is already an order in which each comes after its producers;
    otherwise they are sorted once (lowest index first).
    """
    layout = layout_of(program)
    steps = _Steps(program, layout.before.tolist())
    for task in _order(program):
        steps.add(task)
    return Compiled(
        layout=layout,
        first=[wait[0] if wait else 0 for wait in steps.waits],
        second=[wait[1] if len(wait) > 1 else 0 for wait in steps.waits],
        more=[wait[2:] for wait in steps.waits],
        pool=steps.pool,
        step=np.array(steps.of_task, np.int64),
    )


class _Steps:
    """Steps as they are added, task by task, and which waits can be left out because another implies them.

    In a queue with one server the last of several producers ends last, and a task need not wait for producers in its
    own queue. In any queue a task starts no earlier than the one before it, which makes waiting for the same barrier
    again superfluous.
    """

    def __init__(self, program: Program, before: list[int]) -> None:
        self.program = program
        self.before = before
        self.waits: list[tuple[int, ...]] = []
        self.pool: list[int] = []
        self.of_task = [0] * len(program.tasks)
        self.alone = [queue.servers == 1 for queue in program.queues]
        self.waited: list[set[int]] = [set() for _ in program.queues]
        self.producers: list[list[int]] = [[] for _ in range(program.barriers)]
        self.consumers = [0] * program.barriers
        self.release: dict[int, int] = {}
        for task in program.tasks:
            for barrier in task.waits:
                self.consumers[barrier] += 1

    def add(self, index: int) -> None:
        """Add a task whose producers have all been added."""
        task = self.program.tasks[index]
        alone, waited = self.alone[task.queue], self.waited[task.queue]
        wait: list[int] = []
        if alone and self.before[index] >= 0:
            wait.append(self.of_task[self.before[index]])
        for barrier in task.waits:
            if barrier not in waited:
                waited.add(barrier)
                wait.extend(self._release(barrier, task.queue if alone else None))
        self.of_task[index] = self._step(wait, -1 if alone else task.queue)
        for barrier in task.updates:
            self.producers[barrier].append(index)

    def _step(self, wait: list[int], pool: int) -> int:
        self.waits.append(tuple(dict.fromkeys(wait)))
        self.pool.append(pool)
        return len(self.waits)

    def _release(self, barrier: int, own_queue: int | None) -> list[int]:
        """The steps whose ends release a barrier: its producers, or the one step that stands for many."""
        if barrier in self.release:
            return [self.release[barrier]]
        last: dict[int, int] = {}
        for producer in self.producers[barrier]:
            queue = self.program.tasks[producer].queue
            last[queue if self.alone[queue] else -1 - producer] = producer
        if len(last) > 2 and self.consumers[barrier] > 2:
            self.release[barrier] = self._step([self.of_task[p] for p in last.values()], -1)
            return [self.release[barrier]]
        return [self.of_task[p] for queue, p in last.items() if queue != own_queue]


def _pairs(sets: list[tuple[int, ...]]) -> tuple[Indices, Indices]:
    """(task, barrier) of every element, as two arrays."""
    tasks = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
    return tasks, np.array([barrier for one in sets for barrier in one], np.int64)


def _order(program: Program) -> list[int]:
    """Tasks in an order in which each comes after its producers and its queue predecessor."""
    last_producer = [-1] * program.barriers
    for index, task in enumerate(program.tasks):
        for barrier in task.updates:
            last_producer[barrier] = index
    if all(last_producer[b] < index for index, task in enumerate(program.tasks) for b in task.waits):
        return list(range(len(program.tasks)))
    return _sorted(program)


def _sorted(program: Program) -> list[int]:
    """Kahn's algorithm over queue order and barriers; of those that are possible the lowest index comes first."""
    freed_by, held = _edges(program)
    pending = [0] * len(freed_by)
    for task in program.tasks:
        for barrier in task.updates:
            pending[barrier] += 1
    behind = [-1] * len(program.tasks)
    for members in queue_members(program):
        for one, following in pairwise(members):
            behind[one] = following
    ready = [index for index, count in enumerate(held) if not count]
    heapify(ready)
    order: list[int] = []
    while ready:
        order.append(heappop(ready))
        freed = [behind[order[-1]]] if behind[order[-1]] >= 0 else []
        for barrier in program.tasks[order[-1]].updates:
            pending[barrier] -= 1
            freed += freed_by[barrier] if not pending[barrier] else []
        for index in freed:
            held[index] -= 1
            if not held[index]:
                heappush(ready, index)
    if len(order) < len(program.tasks):
        done = set(order)
        raise Deadlock(describe_deadlock(program, [index in done for index in range(len(program.tasks))]))
    return order


def _edges(program: Program) -> tuple[list[list[int]], list[int]]:
    """The tasks that wait for each barrier, and for how many things each task waits: held barriers and the task
    before it in its queue."""
    produced = {barrier for task in program.tasks for barrier in task.updates}
    waiting: list[list[int]] = [[] for _ in range(program.barriers)]
    held = [0] * len(program.tasks)
    seen: set[int] = set()
    for index, task in enumerate(program.tasks):
        held[index] += task.queue in seen
        seen.add(task.queue)
        for barrier in task.waits:
            if barrier in produced:
                waiting[barrier].append(index)
                held[index] += 1
    return waiting, held
