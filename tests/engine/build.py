"""Small Programs by hand: tasks on named queues, and Prices from what the tasks say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npusim.costs.prices import Prices
from npusim.program import Engine, Program, ProgramOp, Queue, Task, Tasks
from npusim.program.work import DmaWork, DpuWork, ShaveWork, Work

WORK: dict[Engine, Work] = {
    "dma": DmaWork("ddr", "cmx", 1000, 1000),
    "dpu": DpuWork("conv", 4, 4, 16, 16),
    "shave": ShaveWork("exp", 10, 20, 40),
}


@dataclass(frozen=True)
class Step:
    """One task: where, how long, what it waits for and updates; ``moves`` bytes after ``latency`` µs."""

    queue: str
    us: float
    waits: tuple[int, ...] = ()
    updates: tuple[int, ...] = ()
    moves: float = 0.0
    latency: float = 0.0
    op: int = 0


def build(steps: Sequence[Step], servers: int = 1, gbps: float | None = None) -> tuple[Program, Prices]:
    """Queues are made as they are named: ``dma...``, ``dpu...``, ``shave...``; only SHAVE queues get ``servers``."""
    names = list(dict.fromkeys(step.queue for step in steps))
    queues = []
    for number, name in enumerate(names):
        engine = next(engine for engine in WORK if name.startswith(engine))
        queues.append(Queue(name, engine, number, servers=servers if engine == "shave" else 1))
    tasks = Tasks.of(
        Task(names.index(s.queue), s.op, WORK[queues[names.index(s.queue)].engine], s.waits, s.updates)
        for s in steps
    )
    ops = tuple(ProgramOp(f"op.{i}", "MatMul") for i in range(1 + max((s.op for s in steps), default=0)))
    barriers = 1 + max((b for s in steps for b in (*s.waits, *s.updates)), default=-1)
    prices = Prices(
        duration_us=np.array([s.us for s in steps], float),
        latency_us=np.array([s.latency for s in steps], float),
        ddr_bytes=np.array([s.moves for s in steps], float),
        provenance=np.ones(len(steps), np.int8),
        energy_pj=np.full(len(steps), 1e6),
        ddr_gbps=gbps,
    )
    return Program("by hand", tuple(queues), tasks, ops, barriers), prices
