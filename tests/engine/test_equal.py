"""The fast engine equals the event engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.costs.prices import Prices, PriceTable
from npusim.engine.compile import compile_program
from npusim.engine.deadlock import Deadlock
from npusim.engine.event import simulate
from npusim.engine.fast import latencies, simulate_fast
from npusim.program import Program
from tests.engine.build import Step, build
from tests.strategies import law, priced, prices, programs, shuffled

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
@given(priced(contended=True), st.integers(2, 3))
def test_exact_where_transfers_have_several_servers(case: tuple[Program, Prices], servers: int) -> None:
    """Which server of a queue becomes free first is not known before a transfer has landed."""
    program, prices = case
    pooled = replace(program, queues=tuple(replace(queue, servers=servers) for queue in program.queues))
    event, fast = simulate(pooled, prices), simulate_fast(pooled, prices)
    np.testing.assert_allclose(fast.start_us, event.start_us, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(fast.end_us, event.end_us, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("transfers", [1, 2, 3])
def test_a_queue_looks_again_when_a_server_is_free_though_transfers_are_in_flight(transfers: int) -> None:
    """The third copy starts where the second ended, or where a transfer has landed before that."""
    steps = [
        *(Step(f"dma {n}", 9.0, moves=4000.0, latency=1.0 + n) for n in range(transfers)),
        *(Step(f"dma {n}", us) for n in range(transfers) for us in (5.0, 2.0, 3.0)),
    ]
    program, found = build(steps, gbps=1.0)
    pooled = replace(program, queues=tuple(replace(queue, servers=2) for queue in program.queues))
    event, fast = simulate(pooled, found), simulate_fast(pooled, found)
    np.testing.assert_allclose(fast.end_us, event.end_us, rtol=1e-9)
    assert event.start_us[transfers + 1] == 5.0


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


@st.composite
def tables(draw: st.DrawFn) -> tuple[Program, PriceTable]:
    """A Program at up to 5 design points; it has one column a task, in another order."""
    program = draw(programs())
    points = [draw(prices(program, contended)) for contended in draw(st.lists(st.booleans(), max_size=5))]
    work_of = np.array(draw(st.permutations(range(len(program.tasks)))), np.intp)
    column = np.argsort(work_of)
    rows = np.zeros((len(points), len(column)))
    return program, PriceTable(
        work_of_task=work_of,
        duration_us=np.array([one.duration_us[column] for one in points]).reshape(rows.shape),
        latency_us=np.array([one.latency_us[column] for one in points]).reshape(rows.shape),
        ddr_bytes=points[0].ddr_bytes[column] if points else np.zeros(len(column)),
        provenance=rows.astype(np.int8),
        energy_pj=np.array([one.energy_pj[column] for one in points]).reshape(rows.shape),
        ddr_gbps=np.array([np.nan if one.ddr_gbps is None else one.ddr_gbps for one in points]),
    )


@law
@given(tables(), st.integers(1, 3))
def test_latencies_of_many_points(case: tuple[Program, PriceTable], threads: int) -> None:
    program, table = case
    compiled = compile_program(program)
    alone = [simulate_fast(compiled, table.prices(i)).latency_us for i in range(len(table.ddr_gbps))]
    np.testing.assert_array_equal(latencies(compiled, table, threads), alone)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"work_of_task": np.zeros(3, np.intp)}, "the program has 2 tasks"),
        ({"work_of_task": np.array([0, 1])}, "columns of the table, 0 to 0"),
        ({"duration_us": np.ones((1, 2))}, "expected \\(1, 1\\)"),
        ({"latency_us": np.array([[np.nan]])}, "latency_us has a price"),
        ({"duration_us": np.array([[-0.5]])}, "duration_us has a price"),
        ({"ddr_gbps": np.zeros(1)}, "must be positive"),
    ],
)
def test_tables_that_do_not_fit(wrong: dict[str, np.ndarray], message: str) -> None:
    program, _ = build([Step("dma", 1), Step("dma", 1)])
    one = np.ones((1, 1))
    table = PriceTable(np.zeros(2, np.intp), one, one, one[0], one.astype(np.int8), one, one[0])
    with pytest.raises(ValueError, match=message):
        latencies(program, replace(table, **wrong))


def test_deadlock_at_many_points() -> None:
    program, prices = build(
        [Step("dma", 1, waits=(0,), updates=(1,)), Step("dpu", 1, waits=(1,), updates=(0,))]
    )
    two = np.tile(prices.duration_us, (2, 1))
    table = PriceTable(np.arange(2), two, two, np.zeros(2), two.astype(np.int8), two, np.full(2, np.nan))
    with pytest.raises(Deadlock, match="2 queues never drain"):
        latencies(program, table)
