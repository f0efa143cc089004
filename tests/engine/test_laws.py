"""Laws of every schedule, contended or not, and which of the monotonicities hold."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.analysis.roofline import busiest_queue_us, dependency_us
from npusim.costs.prices import Prices
from npusim.engine.event import simulate
from npusim.engine.fast import simulate_fast
from npusim.engine.sharing import fair_rates
from npusim.engine.timeline import WAIT_REASONS, Timeline
from npusim.program import Program, Tasks
from tests.engine.build import Step, build
from tests.strategies import law, priced

Case = tuple[Program, Prices]
Run = Callable[[Program, Prices], Timeline]
both = st.sampled_from([simulate, simulate_fast])
any_case = st.booleans().flatmap(lambda contended: priced(contended=contended))
#: Floating point in contended schedules: ends are sums of many rounded pieces.
CLOSE = 1 + 1e-9


@law
@given(any_case, both)
def test_queues_never_overlap_beyond_their_servers(case: Case, run: Run) -> None:
    program, timeline = case[0], run(*case)
    for number, queue in enumerate(program.queues):
        members = [i for i, task in enumerate(program.tasks) if task.queue == number]
        starts = timeline.start_us[members]
        assert (starts[1:] >= starts[:-1]).all(), "in order"
        assert set(timeline.server[members].tolist()) <= set(range(queue.servers))
        for server in range(queue.servers):
            mine = [i for i in members if timeline.server[i] == server]
            assert all(timeline.end_us[a] <= timeline.start_us[b] for a, b in pairwise(mine))


@law
@given(any_case, both)
def test_every_barrier_holds(case: Case, run: Run) -> None:
    program, timeline = case[0], run(*case)
    for barrier in range(program.barriers):
        producers = [i for i, task in enumerate(program.tasks) if barrier in task.updates]
        released = timeline.end_us[producers].max(initial=0.0)
        assert all(
            timeline.start_us[i] >= released for i, t in enumerate(program.tasks) if barrier in t.waits
        )


@law
@given(any_case, both)
def test_no_task_starts_later_than_it_must(case: Case, run: Run) -> None:
    """Work conserving: a task starts at 0, or at the very end of the task it names, for the reason it gives."""
    program, timeline = case[0], run(*case)
    for i, task in enumerate(program.tasks):
        cause, reason = int(timeline.wait_for[i]), WAIT_REASONS[timeline.wait_reason[i]]
        if reason == "none":
            assert (timeline.start_us[i], cause) == (0.0, -1)
            continue
        assert timeline.start_us[i] == timeline.end_us[cause] > 0
        if reason == "barrier":
            assert set(task.waits) & set(program.tasks[cause].updates)
        if reason == "server":
            assert program.tasks[cause].queue == task.queue
            assert timeline.server[cause] == timeline.server[i]


@law
@given(any_case, both)
def test_busy_time_is_conserved(case: Case, run: Run) -> None:
    """Every task takes its price and what it loses to contention, and nothing else does."""
    program, prices = case
    timeline = run(program, prices)
    took = timeline.end_us - timeline.start_us
    np.testing.assert_allclose(took, prices.duration_us + timeline.contended_us, rtol=1e-9, atol=1e-9)
    if prices.ddr_gbps is None:
        assert not timeline.contended_us.any()
        np.testing.assert_array_equal(timeline.end_us, timeline.start_us + prices.duration_us)
    else:
        assert not timeline.contended_us[prices.ddr_bytes == 0].any()


@law
@given(any_case, both)
def test_latency_is_never_below_a_bound(case: Case, run: Run) -> None:
    program, prices = case
    latency = run(program, prices).latency_us * CLOSE
    assert latency >= busiest_queue_us(program, prices)
    assert latency >= dependency_us(program, prices)
    if prices.ddr_gbps is not None:
        assert latency >= prices.ddr_bytes.sum() / (1e3 * prices.ddr_gbps)


@law
@given(priced(contended=True), both)
def test_contention_never_helps(case: Case, run: Run) -> None:
    program, prices = case
    alone = run(program, replace(prices, ddr_gbps=None))
    together = run(program, prices)
    assert (together.end_us * CLOSE >= alone.end_us).all()


@law
@given(priced(contended=True), both)
def test_plenty_of_bandwidth_is_no_contention(case: Case, run: Run) -> None:
    """Only for prices that leave time for moving bytes: otherwise a transfer would ask for infinite bandwidth."""
    program, prices = case
    prices = replace(prices, latency_us=prices.duration_us / 2, ddr_gbps=1e300)
    np.testing.assert_array_equal(
        run(program, prices).end_us[prices.duration_us > 0],
        run(program, replace(prices, ddr_gbps=None)).end_us[prices.duration_us > 0],
    )


@law
@given(priced(), st.data(), both)
def test_faster_tasks_never_slow_an_uncontended_program(case: Case, data: st.DataObject, run: Run) -> None:
    """Any number of servers: max-plus is monotone (see npusim.engine.fast)."""
    program, prices = case
    count = len(program.tasks)
    factors = data.draw(st.lists(st.floats(0, 1), min_size=count, max_size=count))
    quicker = replace(prices, duration_us=prices.duration_us * np.array(factors))
    assert (run(program, quicker).end_us <= run(program, prices).end_us).all()


@law
@given(priced(), both)
def test_more_servers_never_slow_an_uncontended_program(case: Case, run: Run) -> None:
    program, prices = case
    more = replace(program, queues=tuple(replace(q, servers=q.servers + 1) for q in program.queues))
    assert (run(more, prices).end_us <= run(program, prices).end_us).all()


def anomaly(gbps: float, first_us: float = 0.5) -> float:
    """C (capped at 1.9 GB/s) and a long DPU task after it decide the latency. A runs beside C; 1 µs after A ends, two
    big transfers start and leave C a third of the bandwidth."""
    a, c, b1, b2 = (
        Step("dma a", first_us, updates=(0,), moves=2.1e3),
        Step("dma c", 3.9 / 1.9, updates=(1,), moves=3.9e3),
        Step("dma a", 1, waits=(2,), moves=10e3),
        Step("dma b", 1, waits=(2,), moves=10e3),
    )
    delay, tail = Step("dpu d", 1, waits=(0,), updates=(2,)), Step("dpu t", 50, waits=(1,))
    program, prices = build([a, c, delay, b1, b2, tail], gbps=gbps)
    latency = simulate(program, prices).latency_us
    assert simulate_fast(program, prices).latency_us == pytest.approx(latency, rel=1e-12)
    return latency


def test_more_bandwidth_can_slow_a_contended_program() -> None:
    """A Graham anomaly, so that nobody takes the law for granted: 10 % more bandwidth, 0.04 µs more latency. A ends
    sooner, the big transfers start sooner, and C still has more to move when they do."""
    assert anomaly(4.0) == pytest.approx(52.075)
    assert anomaly(4.4) == pytest.approx(52.1155, abs=1e-4)


def test_a_faster_task_can_slow_a_contended_program() -> None:
    """The same, with A's own engine made faster."""
    assert anomaly(4.0, first_us=1.2) == pytest.approx(50 + 3.9 / 1.9)
    assert anomaly(4.0, first_us=0.5) == pytest.approx(52.075)


@law
@given(any_case, st.randoms(use_true_random=False), both)
def test_numbering_of_barriers_changes_nothing(case: Case, random: object, run: Run) -> None:
    program, prices = case
    number = list(range(program.barriers))
    random.shuffle(number)  # type: ignore[attr-defined]
    tasks = Tasks.of(
        replace(t, waits=tuple(number[b] for b in t.waits), updates=tuple(number[b] for b in t.updates))
        for t in program.tasks
    )
    one, other = run(program, prices), run(replace(program, tasks=tasks), prices)
    for field in ("start_us", "end_us", "wait_reason", "wait_for", "contended_us", "server"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field), err_msg=field)


SCRIPT = """
from benchmarks.engine import mamba_like, price
from npusim.engine.event import simulate
from npusim.engine.fast import simulate_fast
program = mamba_like(600, 3)
for run in (simulate, simulate_fast):
    timeline = run(program, price(program, 30.0))
    print(timeline.end_us.tobytes().hex(), timeline.wait_for.tolist())
"""


def test_same_inputs_same_bytes_out() -> None:
    root = Path(__file__).parents[2]
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT], cwd=root, env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, check=True,
        ).stdout
        for seed in ("0", "1")
    }  # fmt: skip
    assert len(outputs) == 1
    assert outputs.pop()


@law
@given(st.lists(st.one_of(st.floats(0.01, 100), st.just(float("inf"))), max_size=6), st.floats(0.1, 200))
def test_fair_rates(caps: list[float], capacity: float) -> None:
    rates = fair_rates(caps, capacity)
    assert all(rate <= cap for rate, cap in zip(rates, caps, strict=True))
    assert sum(rates) == pytest.approx(min(sum(caps), capacity))
    highest = max(rates, default=0.0)
    assert all(rate in (cap, highest) for rate, cap in zip(rates, caps, strict=True))
