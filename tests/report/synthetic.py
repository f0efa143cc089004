"""A Program made by hand: layers of load, MatMul, activation and store on two tiles, with names from strangers."""

from __future__ import annotations

import numpy as np

from npusim.analysis.metrics import metrics
from npusim.api import Result
from npusim.costs.prices import Prices
from npusim.engine.event import simulate
from npusim.hardware import load_hardware
from npusim.program import CmxBuffer, Program, ProgramOp, Queue, Task, Tasks
from npusim.program.work import DmaWork, DpuWork, ShaveWork

HOSTILE = "<script>alert(1)</script>"
HOSTILE_MARKUP = '<b>bold</b><a href="https://example.com">&amp;\u2028"quoted"</a>\x1b[31m'

QUEUES = (
    Queue("DMA 0 DDR", "dma", 0, "ddr"),
    Queue("DMA 0 CMX", "dma", 0, "cmx"),
    Queue("DPU 0", "dpu", 0),
    Queue("DPU 1", "dpu", 1),
    Queue("SHAVE 0", "shave", 0, servers=2),
    Queue("SHAVE 1", "shave", 1, servers=2),
)
ACTIVATIONS = ("Swish", "Exp", "Softplus", "CumSum", HOSTILE)


def synthetic_program(layers: int = 3, kernels: int = 2) -> Program:
    """``layers`` blocks; every one has a load, a MatMul on two tiles, ``kernels`` calls a SHAVE tile, and a store."""
    tasks: list[Task] = []
    ops: list[ProgramOp] = []
    buffers: list[CmxBuffer] = []
    load = DmaWork("ddr", "cmx", 65536, 65536)
    store = DmaWork("cmx", "ddr", 32768, 32768)
    conv = DpuWork("conv", 4, 16, 256, in_channels=256)
    barrier, previous = 0, None
    for layer in range(layers):
        name = HOSTILE if layer == 0 else f"layers.{layer}/in_proj"
        kind = ACTIVATIONS[layer % len(ACTIVATIONS)]
        matmul, activation = len(ops), len(ops) + 1
        ops.append(ProgramOp(name, "MatMul", ("bias",), f"layers.{layer}", "SOK over 2 tiles", (1, 16, 256)))
        ops.append(ProgramOp(f"{HOSTILE_MARKUP} {layer}", kind, (), f"layers.{layer}", "", (1, 16, 256)))
        loaded, computed, activated = barrier, barrier + 1, barrier + 2
        barrier += 3
        first = len(tasks)
        tasks.append(Task(0, matmul, load, (), (loaded,), f"weights of {name}"))
        waits = (loaded,) if previous is None else (loaded, previous)
        for tile in (0, 1):
            tasks.append(Task(2 + tile, matmul, conv, waits, (computed,), f"tile {tile}"))
        for tile in (0, 1):
            for part in range(kernels):
                work = ShaveWork(kind.lower(), 2048, 4096, 8192)
                tasks.append(Task(4 + tile, activation, work, (computed,), (activated,), f"part {part}"))
        tasks.append(Task(1, activation, store, (activated,), (), "result"))
        buffers.append(CmxBuffer(65536, (first,), (len(tasks) - 1,)))
        previous = activated
    return Program(
        "synthetic",
        QUEUES,
        Tasks.of(tasks),
        tuple(ops),
        barrier,
        tuple(buffers),
        1 << 20,
        2,
        (f"a note on {HOSTILE}",),
    )


def synthetic_prices(program: Program) -> Prices:
    """Round durations; every SHAVE call is a guess."""
    kinds = [type(task.work) for task in program.tasks]
    shave = np.array([kind is ShaveWork for kind in kinds])
    dma = np.array([kind is DmaWork for kind in kinds])
    payload = np.array(
        [task.work.bytes if isinstance(task.work, DmaWork) else 0 for task in program.tasks], float
    )
    return Prices(
        duration_us=np.where(shave, 4.5, np.where(dma, 0.5 + payload / 40_000, 2.25)),
        latency_us=np.where(dma, 0.5, 0.0),
        ddr_bytes=payload,
        provenance=np.where(shave, 3, np.where(dma, 0, 1)).astype(np.int8),
        energy_pj=np.full(len(kinds), 1e6),
        ddr_gbps=60.0,
    )


def synthetic_result(layers: int = 3, kernels: int = 2) -> Result:
    """The synthetic Program, simulated on Lunar Lake's clocks."""
    program = synthetic_program(layers, kernels)
    prices = synthetic_prices(program)
    timeline = simulate(program, prices)
    hw = load_hardware("lunarlake.yaml")
    return Result(program, hw, prices, timeline, metrics(timeline, prices, hw))
