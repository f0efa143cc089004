"""The critical path of a Timeline: the chain of tasks that leaves no moment of the latency unexplained.

Each task starts at the instant that ``wait_for`` ends (or at 0), so following ``wait_for`` backwards from the task
that ends last covers [0, latency] without gap or overlap. Every microsecond of latency thus belongs to one task: that
is what "exposed" means here. It is one such chain; where two are equally long the other is just as critical.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from npusim.costs.prices import Prices
from npusim.engine.timeline import Timeline
from npusim.program import ENGINES

#: What a moment on the wall clock goes to. ``start-up``: the latency of a transfer, before bytes move; ``ddr``: what
#: a transfer loses to others that share DDR; ``dma``, ``dpu``, ``shave``, ``block``: the engine at work;
#: ``barrier/dependency``: nothing of it runs, it waits for others.
KINDS = ("start-up", "dma", "ddr", "dpu", "shave", "barrier/dependency", "block")
_ENGINE_KIND = {name: KINDS.index(name) for name in ENGINES}
_OF_TRANSFERS = [KINDS.index(kind) for kind in ("start-up", "dma", "ddr")]


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """The chain, first task first, and where its time went.

    ``kind_us[i, k]`` is what task ``tasks[i]`` spends on KINDS[k]; the whole table sums to the latency. A gap before
    a task (only in imported schedules, which do not say what they waited for) counts as ``barrier/dependency``.
    """

    timeline: Timeline
    tasks: npt.NDArray[np.int64]
    kind_us: npt.NDArray[np.float64]

    def by_kind(self) -> dict[str, float]:
        """Exposed µs of every kind, of blocks where there are any."""
        found = dict(zip(KINDS, self.kind_us.sum(axis=0).tolist(), strict=True))
        return {kind: us for kind, us in found.items() if us or kind != "block"}

    def by_op(self) -> npt.NDArray[np.float64]:
        """Exposed µs by op of the Program and kind, shape (ops, kinds)."""
        program = self.timeline.program
        table = np.zeros((len(program.ops), len(KINDS)))
        np.add.at(table, program.tasks.op[self.tasks], self.kind_us)
        return table

    def by_queue(self) -> Mapping[str, float]:
        """Exposed µs of the queues that are on the path, the largest first."""
        program = self.timeline.program
        queue = program.tasks.queue[self.tasks]
        busy = np.bincount(queue, self.kind_us.sum(axis=1), minlength=len(program.queues))
        sums = {program.queues[number].name: float(busy[number]) for number in np.unique(queue)}
        return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))

    def by_engine(self) -> dict[str, float]:
        """Exposed µs of every engine, whatever its tasks spend it on."""
        program = self.timeline.program
        engine = program.engine[self.tasks]
        return dict(
            zip(ENGINES, np.bincount(engine, self.kind_us.sum(axis=1), len(ENGINES)).tolist(), strict=True)
        )


def critical_path(timeline: Timeline, prices: Prices) -> CriticalPath:
    """Follow ``wait_for`` back from the task that ends last (the first of equals)."""
    if not len(timeline.end_us):
        return CriticalPath(timeline, np.empty(0, np.int64), np.zeros((0, len(KINDS))))
    chain = []
    task, waits_for = int(np.argmax(timeline.end_us)), timeline.wait_for.tolist()
    while task >= 0:
        chain.append(task)
        task = waits_for[task]
    tasks = np.array(chain[::-1], np.int64)
    kind_us = task_kinds(timeline, prices, tasks)
    before = np.r_[0.0, timeline.end_us[tasks[:-1]]]
    kind_us[:, KINDS.index("barrier/dependency")] = np.maximum(timeline.start_us[tasks] - before, 0.0)
    return CriticalPath(timeline, tasks, kind_us)


def task_kinds(
    timeline: Timeline, prices: Prices, tasks: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.float64]:
    """What each of ``tasks`` (None: all) spends its duration on, µs.

    Shape (tasks, kinds); rows sum to ``end - start``.
    """
    program = timeline.program
    at: npt.NDArray[np.int64] | slice = slice(None) if tasks is None else tasks
    took = timeline.end_us[at] - timeline.start_us[at]
    ddr = np.minimum(timeline.contended_us[at], took)
    start_up = np.minimum(prices.latency_us[at], took - ddr)
    kind = np.array([_ENGINE_KIND[name] for name in ENGINES], np.int64)[program.engine[at]]
    table = np.zeros((len(kind), len(KINDS)))
    table[:, KINDS.index("start-up")] = start_up
    table[:, KINDS.index("ddr")] = ddr
    table[np.arange(len(kind)), kind] = took - ddr - start_up
    return table


def binding_kind(kind_us: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """What binds each row of a table of times by kind, as an index into KINDS.

    The engines are compared first (a transfer's start-up, movement and contention together against DPU, SHAVE and
    waiting), so that a transfer-bound op is not called otherwise because its time is split three ways; where
    transfers win, the largest of their three parts is named.
    """
    engines = kind_us.copy()
    engines[:, _OF_TRANSFERS] = 0.0
    engines[:, _ENGINE_KIND["dma"]] = kind_us[:, _OF_TRANSFERS].sum(axis=1)
    winner = engines.argmax(axis=1)
    part = np.array(_OF_TRANSFERS)[kind_us[:, _OF_TRANSFERS].argmax(axis=1)]
    return np.where(winner == _ENGINE_KIND["dma"], part, winner)
