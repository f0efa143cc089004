"""The numbers behind the pictures: conservation laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.analysis import series
from npusim.api import Result
from npusim.program import CmxBuffer
from npusim.report.queues import engine_partition, lane_times
from npusim.report.timeline_data import lane_name, lane_of_task, lanes
from npusim.report.units import bytes_text, energy_text, time_text, time_unit, times_text
from tests.report.synthetic import synthetic_result

INTERVALS = st.lists(
    st.tuples(st.floats(0, 90), st.floats(0.01, 10), st.floats(0.1, 8)), min_size=1, max_size=20
)


@pytest.fixture(scope="module")
def result() -> Result:
    return synthetic_result(layers=7)


@given(INTERVALS)
def test_mean_rate_keeps_the_area(intervals: list[tuple[float, float, float]]) -> None:
    start, length, rate = np.array(intervals).T
    edges = np.linspace(0, 100, 38)
    mean = series.mean_rate(edges, start, start + length, rate)
    assert (mean * np.diff(edges)).sum() == pytest.approx((length * rate).sum(), rel=1e-9)
    assert mean.min() > -1e-9


@given(INTERVALS)
def test_peak_is_the_largest_sum_of_every_bin(intervals: list[tuple[float, float, float]]) -> None:
    start, length, size = np.round(np.array(intervals).T, 2)
    edges = np.linspace(0, 110, 12)
    peaks = series._peak(edges, start, start + length, size)
    moments = np.sort(np.concatenate([edges, start, start + length]))
    inside = (moments[:-1] + moments[1:]) / 2
    level = [size[(start <= at) & (at < start + length)].sum() for at in inside]
    for left, right, peak in zip(edges, edges[1:], peaks, strict=False):
        held = [
            value
            for at, value, gap in zip(inside, level, np.diff(moments), strict=True)
            if left < at < right and gap > 0
        ]
        assert peak >= max(held, default=0) - 1e-9


def test_lanes_add_up_to_the_latency(result: Result) -> None:
    table = lane_times(result)
    assert (table >= -1e-9).all()
    assert table.sum(axis=0) == pytest.approx(np.full(table.shape[1], result.latency_us))
    busy = table[0].sum() + table[1].sum()
    assert busy == pytest.approx((result.timeline.end_us - result.timeline.start_us).sum())


def test_partition_agrees_with_the_statistics(result: Result) -> None:
    parts = engine_partition(result)
    statistics = result.metrics.statistics
    assert sum(parts.values()) == pytest.approx(result.latency_us)
    assert sum(us for engines, us in parts.items() if "dma" in engines) == pytest.approx(statistics["dma_us"])
    both = sum(us for engines, us in parts.items() if {"dma", "shave"} <= set(engines))
    assert both == pytest.approx(statistics["dma_shave_overlap_us"])
    assert parts[()] == pytest.approx(statistics["idle_us"], abs=1e-9)


def test_cmx_use_is_that_of_the_buffers_by_tile(result: Result) -> None:
    edges = series.edges_us(result.timeline, 1)
    whole = series.cmx_kib(result.timeline, edges)
    assert whole.shape == (2, 1)
    assert (whole >= 64).all()  # one buffer of 64 KiB at the least, which both tiles use
    assert (whole <= 64 * len(result.program.buffers)).all()
    tile_1 = [i for i, task in enumerate(result.program.tasks) if result.program.queues[task.queue].unit == 1]
    only = CmxBuffer(4096, (tile_1[0],), (tile_1[-1],))
    timeline = replace(result.timeline, program=replace(result.program, buffers=(only,)))
    assert series.cmx_kib(timeline, edges).tolist() == [[0.0], [4.0]]


def test_lanes_are_in_reading_order(result: Result) -> None:
    names = [lane_name(result.program.queues[queue], server) for queue, server in lanes(result.program)]
    assert names == [
        "DMA 0 · DDR", "DMA 0 · CMX", "Tile 0 · DPU", "Tile 0 · SHAVE 0", "Tile 0 · SHAVE 1",
        "Tile 1 · DPU", "Tile 1 · SHAVE 0", "Tile 1 · SHAVE 1",
    ]  # fmt: skip
    assert set(lane_of_task(result).tolist()) == set(range(8))


def test_utilisation_averages_to_the_metrics(result: Result) -> None:
    edges = series.edges_us(result.timeline, 50)
    for engine, share in result.metrics.utilisation.items():
        assert series.busy_share(result.timeline, engine, edges).mean() == pytest.approx(share)


def test_units() -> None:
    assert [time_text(us) for us in (0.0, 7.031, 12_400.0, 2.5e6)] == [
        "0.00 µs",
        "7.03 µs",
        "12.40 ms",
        "2.50 s",
    ]
    assert [energy_text(uj) for uj in (3.0, 2500.0)] == ["3.00 µJ", "2.50 mJ"]
    assert [bytes_text(count) for count in (12, 2048, 3 << 30)] == ["12 B", "2.00 KiB", "3.00 GiB"]
    assert time_unit(500.0) == (1.0, "µs")
    assert time_unit(5000.0) == (1e3, "ms")


@pytest.mark.parametrize(
    ("low_us", "high_us", "said"),
    [
        (73_550, 169_500, "74–170 ms"),
        (950.4, 2_049, "0.95–2 ms"),
        (0.4, 12.3, "0.4–12 µs"),
        (900, 980, "900–980 µs"),
    ],
)
def test_a_band_has_two_digits_and_one_unit(low_us: float, high_us: float, said: str) -> None:
    assert times_text(low_us, high_us) == said
