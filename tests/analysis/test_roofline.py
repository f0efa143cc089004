"""A simulated latency is never below any lower bound, on real hardware files at their real prices."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.analysis.roofline import lower_bounds
from npusim.costs.price import price
from npusim.engine.fast import simulate_fast
from npusim.hardware.load import load_hardware
from npusim.hardware.schema import Hardware
from npusim.program import Program, ProgramOp, Queue, Task, Tasks
from npusim.program.work import DmaWork, DpuWork, ShaveWork
from tests.engine.build import Step, build
from tests.strategies import law, programs

FILES = (
    "meteorlake.yaml",
    "meteorlake-vpunn.yaml",
    "lunarlake.yaml",
    "lunarlake-vpunn.yaml",
    "pantherlake.yaml",
)


@cache
def hardware(name: str) -> Hardware:
    return load_hardware(name, ["tiles=3", "shave.per_tile=3"])


@law
@given(programs(), st.sampled_from(FILES))
def test_latency_is_never_below_a_roofline(program: Program, name: str) -> None:
    hw = hardware(name)
    prices = price(program, hw)
    bounds = lower_bounds(program, prices, hw)
    assert simulate_fast(program, prices).latency_us >= bounds.latency_us * (1 - 1e-9)


def test_each_bound_by_hand() -> None:
    hw = load_hardware("lunarlake.yaml", ["tiles=2"])
    queues = (Queue("dma", "dma", 0, "ddr"), Queue("dpu", "dpu", 0), Queue("shave", "shave", 0, servers=2))
    works = (
        DmaWork("ddr", "ddr", 80_000, 80_000),
        DpuWork("conv", 64, 64, 64, 64),
        ShaveWork("exp", 64_000, 128_000, 256_000),
    )
    tasks = Tasks.of(Task(i, 0, work) for i, work in enumerate(works))
    program = Program("one each", queues, tasks, (ProgramOp("op", "MatMul"),), 0, tiles=2)
    bounds = lower_bounds(program, price(program, hw), hw)
    assert bounds.ddr_us == pytest.approx(2 * 80 / hw.ddr.bandwidth_gbps)
    peak = hw.dpu.macs_per_cycle.fp16 * 2 * hw.clocks.dpu_mhz
    assert bounds.dpu_us == pytest.approx(64**4 / peak)
    assert bounds.shave_us == pytest.approx(128_000 / 64 / (2 * 2 * hw.clocks.vpu_mhz))
    assert bounds.highest in {"queue", "dependency"}


def test_dependency_and_queue() -> None:
    program, prices = build([Step("dpu a", 2, updates=(0,)), Step("dpu b", 3, waits=(0,)), Step("dpu a", 1)])
    bounds = lower_bounds(program, prices, hardware("lunarlake.yaml"))
    assert (bounds.dependency_us, bounds.queue_us, bounds.highest) == (5, 3, "dependency")
    assert bounds.latency_us == 5


def test_empty_program() -> None:
    program, prices = build([])
    assert lower_bounds(program, prices, hardware("lunarlake.yaml")).latency_us == 0
    assert np.isfinite(simulate_fast(program, prices).latency_us)
