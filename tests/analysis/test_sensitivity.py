"""Sensitivities against finite differences of whole simulations, and the gradient against what must hold of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from npusim.analysis.gradient import latency_gradient
from npusim.analysis.sensitivity import sensitivities
from npusim.api import Result, build_workload, load_hardware, lower, simulate
from npusim.costs.price import price
from npusim.costs.prices import Prices
from npusim.engine.event import simulate as event
from npusim.engine.fast import compile_program, simulate_fast
from npusim.engine.timeline import Timeline
from npusim.hardware.paths import with_values
from npusim.program import Program
from tests.engine.build import Step, build
from tests.strategies import law, priced

#: Relative step of the finite differences: their error is about its square.
STEP = 1e-6
#: Times that coincide may differ by what rounding makes of them.
ROUNDING_US = 1e-9


@pytest.fixture(
    scope="module",
    params=[
        ("lunarlake", "mamba2-130m"), ("lunarlake-vpunn", "mamba2-130m"), ("meteorlake", "mamba2-130m"),
        ("pantherlake", "mamba2-130m"), ("lunarlake", "mamba-130m"),
    ],
    ids="-".join,
)  # fmt: skip
def result(request: pytest.FixtureRequest) -> Result:
    hardware, workload = request.param
    hw = load_hardware(hardware)
    return simulate(lower(build_workload(workload, layers=1, tokens=64), hw), hw, "fast", allow_guess=True)


def chain(timeline: Timeline) -> list[int]:
    path = [int(np.argmax(timeline.end_us))]
    while timeline.wait_for[path[-1]] >= 0:
        path.append(int(timeline.wait_for[path[-1]]))
    return path


def critical(path: list[int], timeline: Timeline) -> bool:
    """Whether each task of a chain starts when the next one in it ends, and the first one last of all (one of several
    chains that are as long, as two queues of equal transfers make them)."""
    waited = np.append(timeline.end_us[path[1:]], timeline.start_us[path[-1]])
    late = np.append(timeline.start_us[path] - waited, timeline.latency_us - timeline.end_us[path[0]])
    return bool((np.abs(late) <= ROUNDING_US).all())


def transfer_times(timeline: Timeline, prices: Prices) -> np.ndarray:
    """Arrivals and landings of the transfers that touch DDR, µs."""
    arrival = timeline.start_us + np.minimum(prices.latency_us, prices.duration_us)
    return np.concatenate((arrival, timeline.end_us))[np.tile(prices.ddr_bytes > 0, 2)]


def same_course(result: Result, prices: Prices, timeline: Timeline) -> bool:
    """Whether the critical path and the order of arrivals and landings are those of ``result``."""
    order = np.argsort(transfer_times(result.timeline, result.prices), kind="stable")
    in_order = (np.diff(transfer_times(timeline, prices)[order]) >= -ROUNDING_US).all()
    return bool(in_order) and critical(chain(result.timeline), timeline)


def test_agrees_with_finite_differences(result: Result) -> None:
    compiled = compile_program(result.program)
    same = 0
    rows = sensitivities(result)
    for row in rows:
        ends = []
        for step in (STEP, -STEP):
            hw = with_values(result.hardware, [(row.path, row.value * (1 + step))])
            prices = price(result.program, hw, allow_guess=True)
            timeline = simulate_fast(compiled, prices)
            ends += [timeline.latency_us] if same_course(result, prices, timeline) else []
        if len(ends) == 2:
            same += 1
            slope = (ends[0] - ends[1]) / (2 * STEP * result.latency_us)
            assert row.elasticity == pytest.approx(slope, abs=1e-6), row.path
    assert same >= 0.8 * len(rows) > 10, "most numbers leave the course of things as it is"


def test_largest_first_and_in_one_unit(result: Result) -> None:
    rows = sensitivities(result)
    sizes = [abs(row.us_per_percent) for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes) > 0
    for row in rows:
        assert row.us_per_percent == pytest.approx(row.elasticity * result.latency_us / 100)
    assert {row.path: row.unit for row in rows}["clocks.vpu_mhz"] == "MHz"


def test_twice_as_fast_at_everything_is_half_the_latency(result: Result) -> None:
    """Times fall as clocks and bandwidth grow, and grow with latencies and dispatch: together they scale them all."""
    of = {row.path: row.elasticity for row in sensitivities(result)}
    rates = ("clocks.dpu_mhz", "clocks.vpu_mhz", "ddr.bandwidth_gbps")
    times = ("ddr.latency_ns", "ddr.write_latency_ns", "software.fetch.us", "software.dispatch.dma_us",
             "software.dispatch.dpu_us", "software.dispatch.shave_us")  # fmt: skip
    total = sum(of.get(path, 0.0) for path in times) - sum(of.get(path, 0.0) for path in rates)
    assert total == pytest.approx(1, abs=1e-6)


@law
@given(priced(contended=True))
def test_gradient_scales_with_time(case: tuple[Program, Prices]) -> None:
    """Euler: were all times twice as long and the bandwidth half as high, so would be the latency twice as long."""
    program, prices = case
    timeline = event(program, prices)
    by = latency_gradient(timeline, prices)
    total = by.duration @ prices.duration_us + by.latency @ prices.latency_us
    total -= by.ddr_gbps * (prices.ddr_gbps or 0.0)
    assert total == pytest.approx(timeline.latency_us, rel=1e-6, abs=1e-9)


@law
@given(priced())
def test_without_contention_it_is_the_critical_path(case: tuple[Program, Prices]) -> None:
    program, prices = case
    timeline = event(program, prices)
    by = latency_gradient(timeline, prices)
    on_path = np.zeros(len(program.tasks))
    if len(on_path):
        on_path[chain(timeline)] = 1.0
    np.testing.assert_array_equal(by.duration, on_path)
    assert not by.latency.any()
    assert by.ddr_gbps == 0


def test_transfers_that_share_ddr() -> None:
    """A transfer, then one that comes while it flows, slowed down by a DPU task and its own latency: every price that
    is not zero, and the bandwidth, against finite differences."""
    steps = [
        Step("dma a", 2.1, moves=20e3, latency=0.1),
        Step("dpu", 0.9, updates=(0,)),
        Step("dma b", 2.2, moves=10e3, latency=0.1, waits=(0,)),
    ]
    program, prices = build(steps, gbps=12)
    by = latency_gradient(event(program, prices), prices)

    def slope(up: Prices, down: Prices) -> float:
        return (event(program, up).latency_us - event(program, down).latency_us) / (2 * STEP)

    for name in ("duration", "latency"):
        values = getattr(prices, f"{name}_us")
        for task in np.flatnonzero(values).tolist():
            moved = [np.where(np.arange(len(steps)) == task, values + step, values) for step in (STEP, -STEP)]
            up, down = (replace(prices, **{f"{name}_us": column}) for column in moved)
            assert getattr(by, name)[task] == pytest.approx(slope(up, down), abs=1e-6)
    assert by.duration[1] > 0, "the later B comes, the later is the end"
    up, down = (replace(prices, ddr_gbps=12 + step) for step in (STEP, -STEP))
    assert by.ddr_gbps == pytest.approx(slope(up, down), abs=1e-6)


def test_an_empty_program_has_none() -> None:
    program, prices = build([])
    by = latency_gradient(event(program, prices), prices)
    assert by.duration.shape == by.latency.shape == (0,)
