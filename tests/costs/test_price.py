"""Pricing a Program: one row a task, equal works alike, unknown kernels by name."""

from __future__ import annotations

import numpy as np
import pytest

from npusim.costs import shave
from npusim.costs.price import price, work_us
from npusim.costs.prices import PROVENANCE
from npusim.hardware.load import load_hardware
from npusim.program import Program, ProgramOp, Queue, Task, Tasks
from npusim.program.work import DmaWork, DpuWork, ShaveWork

HW = load_hardware("lunarlake", ["software.dispatch.dpu_us=0", "software.dispatch.shave_us=0"])
WORKS = (
    DmaWork("ddr", "cmx", 4096, 4096),
    DpuWork("conv", 16, 4, 64, 256),
    ShaveWork("exp", 1024, 2048, 4096),
    DmaWork("ddr", "ddr", 4096, 4096),
    DmaWork("cmx", "cmx", 4096, 4096),
)


def program(*works):
    tasks = Tasks.of(Task(0, 0, work) for work in works)
    return Program("p", (Queue("q", "dma", 0, "ddr"),), tasks, (ProgramOp("o", "O"),), 0)


def test_prices_follow_task_order():
    prices = price(program(*WORKS, *WORKS), HW)
    assert prices.duration_us.tolist() == pytest.approx([work_us(work, HW) for work in (*WORKS, *WORKS)])
    assert prices.ddr_bytes.tolist()[:5] == [4096, 0, 0, 8192, 0]
    assert (prices.latency_us <= prices.duration_us).all()
    assert (prices.energy_pj > 0).all()
    assert prices.latency_us[1] == prices.latency_us[2] == 0
    assert prices.ddr_gbps == HW.ddr.bandwidth_gbps


def test_a_program_without_tasks_has_no_prices():
    prices = price(program(), HW)
    assert prices.duration_us.shape == prices.provenance.shape == (0,)


def test_an_uncontended_ddr_has_no_shared_bandwidth():
    assert price(program(*WORKS), load_hardware("lunarlake-vpunn")).ddr_gbps is None


def test_an_unknown_kernel_is_named():
    with pytest.raises(shave.UnknownKernel, match="frobnicate"):
        price(program(ShaveWork("frobnicate", 8, 16, 32)), HW)


def test_an_unknown_kernel_may_be_guessed():
    guessed = price(program(ShaveWork("frobnicate", 8, 16, 32)), HW, allow_guess=True)
    assert PROVENANCE[guessed.provenance[0]] == "guess"
    assert guessed.duration_us[0] == work_us(ShaveWork("default", 8, 16, 32), HW)


def test_equal_works_are_priced_once_whether_or_not_they_are_one_object():
    copies = [DpuWork("conv", 16, 4, 64, 256) for _ in range(50)]
    assert np.unique(price(program(*copies), HW).duration_us).size == 1


def test_dispatch_is_added_to_every_task_but_a_sync():
    works = (*WORKS, DmaWork("cmx", "cmx", 0, 0, "sync"))
    costs = [f"software.dispatch.{engine}_us={us}" for engine, us in (("dma", 0.5), ("dpu", 1), ("shave", 2))]
    with_dispatch = price(program(*works), load_hardware("lunarlake", costs))
    without = price(program(*works), HW)
    added = [0.5, 1, 2, 0.5, 0.5, 0]
    assert (with_dispatch.duration_us - without.duration_us).tolist() == pytest.approx(added)
    assert (with_dispatch.latency_us - without.latency_us).tolist() == pytest.approx([0.5, 0, 0, 0.5, 0.5, 0])
