"""Speed of the engines, and how far they are apart: python -m benchmarks.engine [--models DIR]

Speed on a synthetic, Mamba-like Program and on Mamba-2 130M; differences with contended DDR over the workloads that
npusim builds (cut to two layers), and over every model below DIR.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from npusim.api import Graph, Phase, UserError, build_workload, load_hardware, load_model, lower
from npusim.api import simulate as simulate_as_api
from npusim.costs.price import price_points
from npusim.costs.prices import Prices
from npusim.engine.compile import compile_program
from npusim.engine.event import simulate
from npusim.engine.fast import latencies, simulate_fast
from npusim.hardware.paths import with_values
from npusim.program import Program, ProgramOp, Queue, Task, Tasks
from npusim.program.work import DmaWork, DpuWork, ShaveWork

PHASES: tuple[Phase, ...] = ("prefill", "decode")


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
    return Program("mamba-like", tuple(queues), Tasks.of(out), tuple(ops), barriers, tiles=tiles)


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
    """Tasks a second of wall time, best of several runs."""
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - begin)
    return f"{tasks / best:>12,.0f} tasks/s"


def synthetic(tasks: int, tiles: int) -> None:
    """Tasks/s of each engine, alone and with contended DDR."""
    program = mamba_like(tasks, tiles)
    n = len(program.tasks)
    begin = time.perf_counter()
    simulate_fast(mamba_like(20, 1), price(mamba_like(20, 1), None))
    print(f"import numba, compile or load the machine code: {time.perf_counter() - begin:.1f} s")
    compiled = compile_program(program)
    print(f"{n:,} tasks on {len(program.queues)} queues, {program.barriers} barriers; best of 5")
    print("program to arrays             ", rate(partial(compile_program, program), n))
    for label, gbps in (("no contention", None), ("DDR at 60 GB/s", 60.0)):
        prices = price(program, gbps)
        print(f"event, {label:<23}", rate(partial(simulate, program, prices), n, 2))
        print(f"fast,  {label:<23}", rate(partial(simulate_fast, compiled, prices), n))


def axis(points: int) -> None:
    """A timing-only axis of design points: Mamba-2 130M, 24 layers, with contended DDR."""
    hw = load_hardware("lunarlake.yaml")
    program = lower(build_workload("mamba2-130m"), hw)
    grid = np.linspace(34, 136, points).tolist()
    hardwares = [with_values(hw, [("ddr.bandwidth_gbps", gbps)]) for gbps in grid]
    begin = time.perf_counter()
    compiled = compile_program(program)
    table = price_points(program, hardwares)
    priced_s = time.perf_counter() - begin
    latencies(compiled, table)
    wall_s = time.perf_counter() - begin
    tasks = points * len(program.tasks)
    print(
        f"{points:,} points of {len(program.tasks):,} tasks: {wall_s:.2f} s, of which pricing {priced_s:.2f} s:"
    )
    print(f"    {points / wall_s:,.0f} points/s, {tasks / wall_s:,.0f} task-points/s  (wanted: at most 10 s)")


def graphs(folder: Path | None) -> Iterator[tuple[str, Graph]]:
    """What npusim builds, and every model below a folder."""
    for name in ("mamba-130m", "mamba2-130m"):
        for phase in PHASES:
            yield (
                f"{name} {phase}",
                build_workload(name, phase=phase, layers=2, tokens=128 if phase == "prefill" else None),
            )
    for path in sorted(folder.rglob("*.xml")) if folder else []:
        yield path.stem, load_model(path)


def differences(folder: Path | None) -> None:
    """Relative differences of the engines' latencies and ends where DDR is contended."""
    latency, ends = [], []
    for file in ("lunarlake.yaml", "meteorlake.yaml", "pantherlake.yaml"):
        hw = load_hardware(file, ["ddr.contention=true"])
        for name, graph in graphs(folder):
            try:
                program = lower(graph, hw)
            except UserError as error:
                print(f"    {name} on {file} is left out: {error}")
                continue
            result = simulate_as_api(program, hw, "event", allow_guess=True)
            fast = simulate_fast(program, result.prices)
            latency.append(abs(fast.latency_us / result.latency_us - 1))
            apart = np.abs(fast.end_us - result.timeline.end_us)
            ends.append(float(np.max(apart / np.maximum(result.timeline.end_us, 1e-9))))
    print(f"fast against event with contended DDR, {len(latency)} programs (wanted: median at most 2 %)")
    for what, values in (("latency", latency), ("worst end of a task", ends)):
        print(f"    {what:<20} median {np.median(values):.2e}, worst {np.max(values):.2e}, relative")


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--tasks", type=int, default=30_000)
    parser.add_argument("--tiles", type=int, default=6)
    parser.add_argument("--points", type=int, default=1_000)
    chosen = parser.parse_args()
    synthetic(chosen.tasks, chosen.tiles)
    axis(chosen.points)
    differences(chosen.models)


if __name__ == "__main__":
    main()
