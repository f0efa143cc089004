"""Speed of the engines on a synthetic, Mamba-like Program: ``python benchmarks/engine.py [tasks] [tiles]``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from npusim.costs.prices import Prices
from npusim.costs.work import DmaWork, DpuWork, ShaveWork
from npusim.engine.compile import compile_program
from npusim.engine.event import simulate
from npusim.engine.fast import latencies, simulate_fast
from npusim.lowering.program import Program, ProgramOp, Queue, Task


def mamba_like(tasks: int, tiles: int) -> Program:
    """Layers of: weights in (one transfer a tile over two engines), MatMul on all DPUs, a scan of SHAVE calls with
    short DMAs between, results out; the next layer waits for it."""
    queues = [Queue(f"DMA {e} {c}", "dma", e, c) for e in range(2) for c in ("ddr", "cmx")]
    queues += [Queue(f"DPU {t}", "dpu", t) for t in range(tiles)]
    queues += [Queue(f"SHAVE {t}", "shave", t, servers=2) for t in range(tiles)]
    load, store = DmaWork("ddr", "cmx", 65536, 65536), DmaWork("cmx", "ddr", 32768, 32768)
    gemm, kernel = DpuWork("conv", 16, 4, 64, 64), ShaveWork("exp", 4096, 8192, 16384)
    out: list[Task] = []
    ops: list[ProgramOp] = []
    barriers, previous = 0, ()
    while len(out) < tasks:
        op, loaded, computed, done = len(ops), barriers, barriers + 1, barriers + 2
        barriers += 3
        ops.append(ProgramOp(f"layer.{op}", "MatMul"))
        for tile in range(tiles):
            out.append(Task(2 * (tile % 2), op, load, (), (loaded,)))
        for tile in range(tiles):
            out.append(Task(4 + tile, op, gemm, (loaded, *previous), (computed,)))
        for tile in range(tiles):
            for _ in range(2):
                out.append(Task(4 + tiles + tile, op, kernel, (computed,), (done,)))
        for tile in range(tiles):
            out.append(Task(2 * (tile % 2) + 1, op, store, (done,), (barriers,)))
        previous = (barriers,)
        barriers += 1
    return Program("mamba-like", tuple(queues), tuple(out), tuple(ops), barriers, tiles=tiles)


def price(program: Program, ddr_gbps: float | None) -> Prices:
    """Plausible, irregular durations."""
    rng = np.random.default_rng(0)
    n = len(program.tasks)
    dma = np.array([isinstance(task.work, DmaWork) for task in program.tasks])
    latency = np.where(dma, 0.4, 0.0)
    moved = np.array([float(getattr(task.work, "bytes", 0)) for task in program.tasks])
    duration = np.where(dma, latency + moved / 57e3, rng.uniform(1.0, 6.0, n))
    return Prices(duration, latency, moved, np.ones(n, np.int8), np.zeros(n), ddr_gbps)


def rate(run: Callable[[], object], tasks: int, repeats: int = 5) -> str:
    """Tasks a second of processor time, best of several runs."""
    best = float("inf")
    for _ in range(repeats):
        begin = time.process_time()
        run()
        best = min(best, time.process_time() - begin)
    return f"{tasks / best:>12,.0f} tasks/s"


def main(tasks: int = 30_000, tiles: int = 6, points: int = 64) -> None:
    """Print tasks/s of each engine, alone and with contended DDR."""
    program = mamba_like(tasks, tiles)
    compiled = compile_program(program)
    n = len(program.tasks)
    print(f"{n} tasks on {len(program.queues)} queues, {program.barriers} barriers; best of 5")
    print("compile                       ", rate(partial(compile_program, program), n))
    for label, gbps in (("no contention", None), ("DDR at 60 GB/s", 60.0)):
        prices = price(program, gbps)
        print(f"event, {label:<23}", rate(partial(simulate, program, prices), n))
        print(f"fast,  {label:<23}", rate(partial(simulate_fast, compiled, prices), n))
    table = np.outer(np.linspace(0.5, 2, points), price(program, None).duration_us)
    print(f"latencies, {points} design points ", rate(partial(latencies, compiled, table), points * n))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
