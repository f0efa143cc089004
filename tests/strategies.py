"""Hypothesis strategies for Programs and Prices: small, but with every feature the engines know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from npusim.costs.prices import Prices
from npusim.costs.work import DmaWork, DpuWork, ShaveWork, Work
from npusim.lowering.program import Program, ProgramOp, Queue, Task

MEMORIES = ("ddr", "cmx")


def queue_sets(tiles: int, engines: int) -> tuple[Queue, ...]:
    """The queues of an NPU: engine x channel FIFOs, a DPU queue a tile, a SHAVE queue with two servers a tile."""
    dma = [Queue(f"DMA {e} {c.upper()}", "dma", e, c) for e in range(engines) for c in MEMORIES]
    dpu = [Queue(f"DPU {tile}", "dpu", tile) for tile in range(tiles)]
    shave = [Queue(f"SHAVE {tile}", "shave", tile, servers=2) for tile in range(tiles)]
    return (*dma, *dpu, *shave)


def _work(draw: st.DrawFn, queue: Queue) -> Work:
    if queue.engine == "dma":
        size = draw(st.integers(0, 1 << 16))
        return DmaWork(queue.channel, draw(st.sampled_from(MEMORIES)), size, size)  # type: ignore[arg-type]
    if queue.engine == "dpu":
        side, channels = draw(st.integers(1, 16)), draw(st.sampled_from([16, 64]))
        return DpuWork("conv", side, 4, channels, 16, in_bits=draw(st.sampled_from([8, 16])))
    elements = draw(st.integers(1, 1 << 14))
    return ShaveWork("exp", elements, 2 * elements, 4 * elements)


@st.composite
def programs(
    draw: st.DrawFn, max_tasks: int = 24, max_barriers: int = 8, single_server: bool = False
) -> Program:
    """Programs in issue order, free of deadlock: every producer of a barrier precedes all who wait for it."""
    queues = queue_sets(draw(st.integers(1, 3)), draw(st.integers(1, 2)))
    if single_server:
        queues = tuple(replace(queue, servers=1) for queue in queues)
    elif draw(st.booleans()):
        queues = tuple(replace(q, servers=3) if q.engine == "shave" else q for q in queues)
    barriers = draw(st.integers(0, max_barriers))
    count = draw(st.integers(0, max_tasks))
    # Barrier b is produced by tasks before opens[b] and awaited from there on.
    opens = [draw(st.integers(0, count)) for _ in range(barriers)]
    ops = tuple(ProgramOp(f"op.{i}", "MatMul") for i in range(draw(st.integers(1, 5))))
    tasks = []
    for index in range(count):
        number = draw(st.integers(0, len(queues) - 1))
        updates = [b for b in range(barriers) if index < opens[b] and draw(st.booleans())]
        waits = [b for b in range(barriers) if index >= opens[b] and draw(st.integers(0, 3)) == 0]
        op = draw(st.integers(0, len(ops) - 1))
        tasks.append(Task(number, op, _work(draw, queues[number]), tuple(waits), tuple(updates)))
    return Program("random", queues, tuple(tasks), ops, barriers)


#: Durations that collide often (small integers, zero) as well as awkward floats.
TIMES = st.one_of(st.integers(0, 4).map(float), st.floats(0, 1e3, allow_nan=False), st.just(0.1))


@st.composite
def prices(draw: st.DrawFn, program: Program, contended: bool = False) -> Prices:
    """Prices of a Program; where contended, a bandwidth of the order of what the transfers ask for."""
    count = len(program.tasks)
    duration = np.array(draw(st.lists(TIMES, min_size=count, max_size=count)), float)
    dma = np.array([isinstance(task.work, DmaWork) for task in program.tasks], bool)
    part = np.array(draw(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=count, max_size=count)))
    ddr_bytes = np.array(
        [float(t.work.ddr_read_bytes + t.work.ddr_write_bytes) if isinstance(t.work, DmaWork) else 0.0
         for t in program.tasks]
    )  # fmt: skip
    provenance = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    return Prices(
        duration_us=duration,
        latency_us=np.where(dma, duration * part, 0.0),
        ddr_bytes=ddr_bytes,
        provenance=np.array(provenance, np.int8),
        energy_pj=duration * 10.0,
        ddr_gbps=draw(st.floats(0.1, 200)) if contended else None,
    )


@st.composite
def priced(
    draw: st.DrawFn, contended: bool = False, max_tasks: int = 24, single_server: bool = False
) -> tuple[Program, Prices]:
    """A Program with Prices."""
    program = draw(programs(max_tasks=max_tasks, single_server=single_server))
    return program, draw(prices(program, contended))


@st.composite
def shuffled(draw: st.DrawFn, program: Program) -> tuple[Program, list[int]]:
    """The same Program with its queues interleaved differently, hence in no issue order any more; and ``order``,
    with task ``i`` of the result being task ``order[i]`` of the original."""
    rest = [[i for i, t in enumerate(program.tasks) if t.queue == q] for q in range(len(program.queues))]
    order = []
    while any(rest):
        fifo = draw(st.sampled_from([fifo for fifo in rest if fifo]))
        order.append(fifo.pop(0))
    return replace(program, tasks=tuple(program.tasks[i] for i in order)), order
