"""Hypothesis strategies for Programs and Prices: small, but with every feature the engines know; and a seed that is new
with every change of the product."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from npusim.costs.prices import Prices
from npusim.program import Program, ProgramOp, Queue, Task, Tasks
from npusim.program.work import DmaWork, DpuWork, Memory, ShaveWork, Work

#: For tests that run an engine: enough examples to find what there is, few enough to stay quick on a busy machine.
law = settings(max_examples=30, deadline=None)


def queue_sets(tiles: int, engines: int) -> tuple[Queue, ...]:
    """The queues of an NPU: engine x channel FIFOs, a DPU queue a tile, a SHAVE queue with two servers a tile."""
    dma = [Queue(f"DMA {e} {c.upper()}", "dma", e, c) for e in range(engines) for c in ("ddr", "cmx")]
    dpu = [Queue(f"DPU {tile}", "dpu", tile) for tile in range(tiles)]
    shave = [Queue(f"SHAVE {tile}", "shave", tile, servers=2) for tile in range(tiles)]
    return (*dma, *dpu, *shave)


def _work(queue: Queue, size: int, to: Memory) -> Work:
    if queue.engine == "dma":
        source: Memory = "ddr" if queue.channel == "ddr" else "cmx"
        return DmaWork(source, to, size, size)
    if queue.engine == "dpu":
        return DpuWork("conv", 1 + size % 16, 4, 16 + 48 * (size % 2), 16, in_bits=8 + 8 * (size % 3 > 0))
    return ShaveWork("exp", 1 + size, 2 * (1 + size), 4 * (1 + size))


def _members(mask: int) -> tuple[int, ...]:
    return tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)


@st.composite
def programs(draw: st.DrawFn, max_tasks: int = 24, max_barriers: int = 8) -> Program:
    """Programs in issue order, free of deadlock: every producer of a barrier precedes all who wait for it."""
    queues = queue_sets(draw(st.integers(1, 3)), draw(st.integers(1, 2)))
    servers = draw(st.integers(1, 3))
    queues = tuple(replace(q, servers=servers) if q.engine == "shave" else q for q in queues)
    barriers = draw(st.integers(0, max_barriers))
    count = draw(st.integers(0, max_tasks))
    # Barrier b is produced by tasks before opens[b] and awaited from there on.
    opens = draw(st.lists(st.integers(0, count), min_size=barriers, max_size=barriers))
    masks, sizes = st.integers(0, (1 << 2 * barriers) - 1), st.integers(0, 1 << 17)
    number = st.integers(0, len(queues) - 1)
    columns = st.tuples(number, masks, sizes)
    ops = 1 + count // 4
    tasks = []
    for index, (queue, mask, size) in enumerate(draw(st.lists(columns, min_size=count, max_size=count))):
        open_now = sum(1 << b for b in range(barriers) if opens[b] <= index)
        waits, updates = mask & (mask >> barriers) & open_now, mask & ~open_now & ((1 << barriers) - 1)
        work = _work(queues[queue], size // 2, "ddr" if size % 2 else "cmx")
        tasks.append(Task(queue, index % ops, work, _members(waits), _members(updates)))
    named = tuple(ProgramOp(f"op.{i}", "MatMul") for i in range(ops))
    return Program("random", queues, Tasks.of(tasks), named, barriers)


#: Durations that collide often (small integers, zero) as well as awkward floats.
TIMES = st.one_of(st.integers(0, 4).map(float), st.floats(1e-6, 1e3), st.just(0.1))


@st.composite
def prices(draw: st.DrawFn, program: Program, contended: bool = False) -> Prices:
    """Prices of a Program; where contended, a bandwidth of the order of what the transfers ask for."""
    count = len(program.tasks)
    one = st.tuples(TIMES, st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(0, 3))
    rows = draw(st.lists(one, min_size=count, max_size=count))
    duration, part, provenance = (
        np.array(column, float) for column in (zip(*rows, strict=True) if rows else [[]] * 3)
    )
    dma = np.array([isinstance(task.work, DmaWork) for task in program.tasks], bool)
    moved = [
        t.work.ddr_read_bytes + t.work.ddr_write_bytes if isinstance(t.work, DmaWork) else 0
        for t in program.tasks
    ]
    return Prices(
        duration_us=duration,
        latency_us=np.where(dma, duration * part, 0.0),
        ddr_bytes=np.array(moved, float),
        provenance=provenance.astype(np.int8),
        energy_pj=duration * 10.0,
        ddr_gbps=draw(st.floats(0.1, 200)) if contended else None,
    )


@st.composite
def priced(draw: st.DrawFn, contended: bool = False, max_tasks: int = 24) -> tuple[Program, Prices]:
    """A Program with Prices."""
    program = draw(programs(max_tasks=max_tasks))
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
    return replace(program, tasks=program.tasks.take(np.array(order, np.int32))), order


def seed_of_the_code() -> int:
    """A seed that every change of the product draws anew, and that is the same on every machine."""
    sources = sorted((Path(__file__).parents[1] / "npusim").rglob("*.py"))
    return int.from_bytes(hashlib.sha256(b"".join(path.read_bytes() for path in sources)).digest()[:3])
