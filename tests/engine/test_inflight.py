"""Several inferences in flight: what runs side by side shares DDR and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npusim.costs.prices import Prices
from npusim.engine.event import simulate
from npusim.engine.inflight import InFlight, prices_of, side_by_side
from npusim.program import Program
from tests.engine.build import Step, build
from tests.strategies import priced


@given(priced(), st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_without_a_shared_resource_streams_do_not_meet(both: tuple[Program, Prices], streams: int) -> None:
    program, prices = both
    alone, period = InFlight(program, streams).times_us(prices)
    assert alone == pytest.approx(simulate(program, prices).latency_us)
    assert period == pytest.approx(alone / streams)


@given(priced(contended=True), st.integers(2, 3))
@settings(max_examples=15, deadline=None)
def test_sharing_never_helps(both: tuple[Program, Prices], streams: int) -> None:
    program, prices = both
    shared = InFlight(program, streams).times_us(prices)[1]
    free = InFlight(program, streams).times_us(replace(prices, ddr_gbps=None))[1]
    assert shared >= free * (1 - 1e-9)


def test_streams_that_only_move_bytes_are_as_fast_as_ddr() -> None:
    """8000 bytes at 2 GB/s are 4 µs, however many streams move them; one alone moves 1 byte a ns."""
    program, prices = build([Step("dma", 8.0, moves=8000.0)], gbps=2.0)
    assert InFlight(program, 1).times_us(prices) == pytest.approx((8.0, 8.0))
    for streams in (2, 3):
        assert InFlight(program, streams).times_us(prices)[1] == pytest.approx(4.0)


def test_inferences_of_a_stream_follow_each_other() -> None:
    program, prices = build([Step("dma", 2.0, updates=(0,)), Step("dpu", 3.0, waits=(0,))])
    timeline = simulate(side_by_side(program, 2, 3), prices_of(prices, 2, 3, 1.0))
    start, end = (times.reshape(2, 3, -1) for times in (timeline.start_us, timeline.end_us))
    assert end.max(axis=2).tolist() == [[5, 10, 15], [6, 11, 16]]
    assert (start[:, 1:, 1:].min(axis=2) == end[:, :-1].max(axis=2)).all()
