"""Schedules that can be worked out on paper, on both engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from npusim.costs.prices import Prices
from npusim.engine.deadlock import Deadlock
from npusim.engine.event import simulate
from npusim.engine.fast import simulate_fast
from npusim.engine.timeline import WAIT_REASONS, Timeline
from npusim.program import Program
from tests.engine.build import Step, build

Run = Callable[[Program, Prices], Timeline]
engines = pytest.mark.parametrize("run", [simulate, simulate_fast])


def reasons(timeline: Timeline) -> list[tuple[str, int]]:
    return [(WAIT_REASONS[r], int(w)) for r, w in zip(timeline.wait_reason, timeline.wait_for, strict=True)]


@engines
def test_queue_then_barrier(run: Run) -> None:
    program, prices = build(
        [
            Step("dma", 2, updates=(0,)),
            Step("dma", 3, updates=(1,)),
            Step("dpu", 4, waits=(0,)),
            Step("dpu", 1, (1,)),
        ]
    )
    timeline = run(program, prices)
    assert timeline.start_us.tolist() == [0, 2, 2, 6]
    assert timeline.end_us.tolist() == [2, 5, 6, 7]
    assert reasons(timeline) == [("none", -1), ("queue", 0), ("barrier", 0), ("queue", 2)]
    assert timeline.latency_us == 7


@engines
def test_barrier_waits_for_its_last_producer(run: Run) -> None:
    steps = [Step("dma a", 5, updates=(0,)), Step("dma b", 2, updates=(0,)), Step("dpu", 1, waits=(0, 1))]
    timeline = run(*build([*steps, Step("dma c", 5, updates=(1,))]))
    assert timeline.start_us[2] == 5
    assert reasons(timeline)[2] == ("barrier", 3), "of equal ends the last in Program order"


@engines
def test_barrier_without_producers_is_open(run: Run) -> None:
    timeline = run(*build([Step("dma", 1, waits=(0,))]))
    assert timeline.start_us.tolist() == [0]
    assert reasons(timeline) == [("none", -1)]


@engines
def test_two_servers(run: Run) -> None:
    timeline = run(
        *build([Step("shave", 4), Step("shave", 2), Step("shave", 5), Step("shave", 1)], servers=2)
    )
    assert timeline.start_us.tolist() == [0, 0, 2, 4]
    assert timeline.server.tolist() == [0, 1, 1, 0]
    assert reasons(timeline) == [("none", -1), ("none", -1), ("server", 1), ("server", 0)]


@engines
def test_head_of_a_queue_blocks_an_idle_server(run: Run) -> None:
    steps = [Step("dma", 3, updates=(0,)), Step("shave", 1, waits=(0,)), Step("shave", 1)]
    timeline = run(*build(steps, servers=2))
    assert timeline.start_us.tolist() == [0, 3, 3]
    assert reasons(timeline)[1:] == [("barrier", 0), ("queue", 0)], (
        "it starts for the same cause as the one before"
    )


@engines
def test_zero_length_tasks(run: Run) -> None:
    steps = [
        Step("dma", 0, updates=(0,)),
        Step("dpu", 0, waits=(0,), updates=(1,)),
        Step("dma", 0, waits=(1,)),
    ]
    timeline = run(*build(steps))
    assert timeline.end_us.tolist() == [0, 0, 0]
    assert reasons(timeline) == [("none", -1)] * 3


@engines
def test_empty_program(run: Run) -> None:
    assert run(*build([])).latency_us == 0


@engines
def test_two_transfers_share_ddr(run: Run) -> None:
    """Each alone: 1 µs latency, 10 kB at 10 kB/µs. Together on 10 GB/s (10 kB/µs): halves, until the first lands."""
    steps = [Step("dma a", 2, moves=10e3, latency=1), Step("dma b", 3, moves=20e3, latency=1)]
    timeline = run(*build(steps, gbps=10))
    np.testing.assert_allclose(timeline.end_us, [1 + 2, 1 + 2 + 1])
    np.testing.assert_allclose(timeline.contended_us, [1, 1])


@engines
def test_a_slow_engine_leaves_its_share_to_others(run: Run) -> None:
    """Caps of 2 and 20 kB/µs on 10 kB/µs: 2 for the first, 8 for the second."""
    steps = [Step("dma a", 2, moves=4e3), Step("dma b", 1, moves=20e3)]
    timeline = run(*build(steps, gbps=10))
    assert timeline.end_us[0] == 2
    assert timeline.contended_us[0] == 0
    assert timeline.end_us[1] == pytest.approx(2 + (20 - 16) / 10)


@engines
def test_latency_and_scratchpad_transfers_do_not_contend(run: Run) -> None:
    steps = [
        Step("dma a", 2, moves=10e3, latency=1),
        Step("dma b", 2, latency=1),
        Step("dma c", 1, moves=10e3),
    ]
    timeline = run(*build(steps, gbps=10))
    assert timeline.end_us.tolist() == [2, 2, 1]


@engines
def test_price_without_time_for_its_bytes(run: Run) -> None:
    """All latency and yet bytes: they flow at whatever the others leave."""
    timeline = run(*build([Step("dma a", 1, moves=10e3, latency=1)], gbps=10))
    assert timeline.end_us.tolist() == [2]


@engines
@pytest.mark.parametrize("gbps", [None, 1.0])
def test_deadlock_names_heads_and_producers(run: Run, gbps: float | None) -> None:
    steps = [
        Step("dpu", 1),
        Step("dma", 1, waits=(0,), updates=(1,), moves=10),
        Step("dpu", 1, waits=(1,), updates=(0,)),
        Step("shave", 1),
    ]
    with pytest.raises(Deadlock) as error:
        run(*build(steps, gbps=gbps))
    text = str(error.value)
    assert "2 queues never drain" in text
    assert "task 2 of 'op.0' on 'dpu' waits for barrier 1 (producers task 1 of 'op.0' on 'dma')" in text
    assert "task 1 of 'op.0' on 'dma' waits for barrier 0 (producers task 2 of 'op.0' on 'dpu')" in text
    assert "shave" not in text


@engines
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"duration_us": np.array([-1.0, 1.0])}, "duration_us of task 0 of 'op.0' on 'dma' is -1"),
        ({"latency_us": np.array([0.0, np.nan])}, "latency_us of task 1 of 'op.0' on 'dma' is nan"),
        ({"ddr_bytes": np.zeros(3)}, "the program has 2 tasks"),
        ({"ddr_gbps": 0.0}, "must be positive"),
    ],
)
def test_prices_that_do_not_fit(run: Run, wrong: dict[str, object], message: str) -> None:
    program, prices = build([Step("dma", 1), Step("dma", 1)])
    with pytest.raises(ValueError, match=message):
        run(program, replace(prices, **wrong))  # type: ignore[arg-type]
