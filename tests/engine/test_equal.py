"""The fast engine equals the event engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.costs.prices import Prices
from npusim.engine.compile import compile_program
from npusim.engine.event import simulate
from npusim.engine.fast import latencies, simulate_fast
from npusim.lowering.program import Program
from tests.strategies import TIMES, law, priced, programs, shuffled

FIELDS = ("start_us", "end_us", "wait_reason", "wait_for", "contended_us", "server")


@law
@given(priced())
def test_bit_for_bit_without_contention(case: tuple[Program, Prices]) -> None:
    event, fast = simulate(*case), simulate_fast(*case)
    for field in FIELDS:
        one, other = getattr(event, field), getattr(fast, field)
        np.testing.assert_array_equal(one, other, err_msg=field)
        assert one.dtype == other.dtype, (field, one.dtype, other.dtype)


@law
@given(priced(contended=True))
def test_exact_with_contention(case: tuple[Program, Prices]) -> None:
    event, fast = simulate(*case), simulate_fast(*case)
    np.testing.assert_allclose(fast.start_us, event.start_us, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(fast.end_us, event.end_us, rtol=1e-9, atol=1e-12)


@law
@given(priced(), st.data())
def test_any_interleaving_of_the_queues(case: tuple[Program, Prices], data: st.DataObject) -> None:
    program, prices = case
    other, order = data.draw(shuffled(program))
    moved = replace(prices, duration_us=prices.duration_us[order], ddr_bytes=prices.ddr_bytes[order],
                    latency_us=prices.latency_us[order])  # fmt: skip
    reference = simulate(program, prices)
    for run in (simulate, simulate_fast):
        timeline = run(other, moved)
        np.testing.assert_array_equal(timeline.start_us, reference.start_us[order])
        np.testing.assert_array_equal(timeline.end_us, reference.end_us[order])


@law
@given(programs(), st.data())
def test_latencies_of_many_points(program: Program, data: st.DataObject) -> None:
    count = len(program.tasks)
    row = st.lists(TIMES, min_size=count, max_size=count)
    durations = np.array(data.draw(st.lists(row, min_size=1, max_size=4)), float)
    nothing = np.zeros(count)
    compiled = compile_program(program)
    expected = [
        simulate_fast(
            compiled, Prices(d, nothing, nothing, nothing.astype(np.int8), nothing, None)
        ).latency_us
        for d in durations
    ]
    np.testing.assert_array_equal(latencies(compiled, durations), expected)


def test_latencies_refuses_another_shape() -> None:
    with pytest.raises(ValueError, match="expected"):
        latencies(Program("empty", (), (), (), 0), np.zeros((2, 3)))
