"""Metrics: Intel's statistics of Intel's schedule, cases by hand, and sums that must come out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.analysis.bottleneck import KINDS, binding_kind, critical_path
from npusim.analysis.metrics import metrics
from npusim.costs.prices import Prices
from npusim.engine.event import simulate
from npusim.engine.timeline import Timeline
from npusim.hardware.load import load_hardware
from npusim.program import Program, engines_of
from npusim.program.work import ShaveWork
from tests.analysis.vendor import STATISTICS, TASKS
from tests.engine.build import Step, build
from tests.strategies import law, priced

Case = tuple[Program, Prices]
any_case = st.booleans().flatmap(lambda contended: priced(contended=contended))


def imported() -> tuple[Timeline, Prices]:
    """The vendor's schedule as a Timeline: it does not say what its tasks waited for."""
    rows = [(engine, start, us) for engine, tasks in TASKS.items() for start, us in tasks]
    program, prices = build([Step(f"{engine} {i}", us) for i, (engine, _, us) in enumerate(rows)])
    start = np.array([start for _, start, _ in rows])
    nothing = np.zeros(len(rows))
    timeline = Timeline(
        program, start, start + prices.duration_us, nothing.astype(np.int8), nothing.astype(np.int64) - 1,
        nothing, nothing.astype(np.int8), "imported",
    )  # fmt: skip
    return timeline, prices


def test_statistics_are_the_vendors() -> None:
    result = metrics(*imported())
    assert list(result.statistics) == list(STATISTICS)
    assert result.statistics == pytest.approx(STATISTICS, abs=1e-6)
    assert result.tasks == {"dma": 26, "dpu": 22, "shave": 20}


def test_a_gap_that_nobody_explains_is_a_dependency() -> None:
    timeline, prices = imported()
    path = critical_path(timeline, prices)
    assert path.by_kind()["barrier/dependency"] == pytest.approx(timeline.start_us[path.tasks[0]])
    assert path.kind_us.sum() == pytest.approx(timeline.latency_us)


def example() -> Case:
    """op 0 loads (1 µs start-up of 3) and runs 4 µs on DPU; op 1's load hides behind it; op 2 is 10 µs of SHAVE."""
    return build(
        [
            Step("dma", 3, updates=(0,), latency=1, op=0),
            Step("dma", 2, updates=(1,), op=1),
            Step("dpu", 4, waits=(0,), updates=(2,), op=0),
            Step("shave", 10, waits=(2,), op=2),
            Step("dpu", 1, waits=(1,), op=1),
        ]
    )


def test_rows_of_ops() -> None:
    program, prices = example()
    result = metrics(simulate(program, prices), prices)
    rows = {row.name: row for row in result.ops}
    assert result.latency_us == 17
    assert [rows[f"op.{i}"].engine for i in range(3)] == ["dpu", "dpu", "shave"]
    assert [rows[f"op.{i}"].exposed_us for i in range(3)] == [7, 0, 10]
    assert [rows[f"op.{i}"].bound for i in range(3)] == ["dpu", "dma", "shave"]
    assert (rows["op.1"].start_us, rows["op.1"].end_us) == (3, 8)
    assert (rows["op.0"].dma_us, rows["op.0"].dpu_us, rows["op.0"].shave_us) == (3, 4, 0)
    assert result.exposed_us == pytest.approx(
        {"start-up": 1, "dma": 2, "ddr": 0, "dpu": 4, "shave": 10, "barrier/dependency": 0}
    )
    assert result.utilisation == pytest.approx({"dma": 5 / 17, "dpu": 5 / 17, "shave": 10 / 17})
    assert result.ddr_bytes == {"read": 2000, "write": 0}
    assert result.energy_uj == pytest.approx(5)


@pytest.mark.parametrize(("kernel", "engine"), [("convert", "dpu"), ("exp", "shave")])
def test_what_only_converts_on_shave_runs_on_the_dpu(kernel: str, engine: str) -> None:
    program, prices = build([Step("dpu", 1, updates=(0,)), Step("shave", 3, waits=(0,))])
    works = tuple(
        replace(work, kernel=kernel) if isinstance(work, ShaveWork) else work for work in program.tasks.works
    )
    program = replace(program, tasks=replace(program.tasks, works=works))
    (row,) = metrics(simulate(program, prices), prices).ops
    assert row.engine == engine


def test_static_energy_needs_hardware() -> None:
    program, prices = example()
    hw = load_hardware("meteorlake.yaml", ["energy.static_mw=1000"])
    result = metrics(simulate(program, prices), prices, hw)
    assert result.energy_uj == pytest.approx(5 + 17)


def test_hidden_op_that_mostly_waits() -> None:
    steps = [
        Step("dma", 1, updates=(0,), op=1),
        Step("shave", 9, op=0, updates=(1,)),
        Step("dpu", 2, (0, 1), op=1),
    ]
    program, prices = build([*steps, Step("shave", 50, op=0)])
    rows = metrics(simulate(program, prices), prices).ops
    assert (rows[1].exposed_us, rows[1].bound) == (0, "barrier/dependency")


def test_contended_ddr_is_named() -> None:
    steps = [Step("dma a", 1, moves=10e3, op=0), Step("dma b", 1, moves=10e3, op=1)]
    program, prices = build(steps, gbps=4)
    result = metrics(simulate(program, prices), prices)
    assert result.latency_us == pytest.approx(5)
    assert result.ops[0].bound == "ddr"
    assert result.exposed_us["ddr"] == pytest.approx(4)
    assert result.contended_us == pytest.approx(8)


def test_transfers_are_weighed_as_a_whole() -> None:
    row = dict.fromkeys(KINDS, 0.0) | {"start-up": 2.0, "dma": 3.0, "ddr": 1.0, "shave": 5.0}
    assert KINDS[binding_kind(np.array([list(row.values())]))[0]] == "dma"


def test_provenance() -> None:
    program, prices = example()
    prices = replace(prices, provenance=np.array([0, 3, 1, 2, 1], np.int8))
    result = metrics(simulate(program, prices), prices)
    assert result.provenance_share == pytest.approx(
        {"measured": 3 / 17, "fitted": 4 / 17, "roofline": 10 / 17, "guess": 0}
    )
    assert [row.provenance for row in result.ops] == ["fitted", "guess", "roofline"]
    assert [row.guess_us for row in result.ops] == [0, 0, 0]


def test_empty_program() -> None:
    program, prices = build([])
    result = metrics(simulate(program, prices), prices)
    assert result.latency_us == 0
    assert set(result.statistics.values()) == {0.0}


@law
@given(any_case)
def test_sums(case: Case) -> None:
    """The critical path explains the whole latency, once: by op, by kind, by queue, by provenance."""
    program, prices = case
    timeline = simulate(program, prices)
    result, path = metrics(timeline, prices), critical_path(timeline, prices)
    latency = pytest.approx(timeline.latency_us, rel=1e-9, abs=1e-9)
    assert sum(row.exposed_us for row in result.ops) == latency
    assert sum(result.exposed_us.values()) == latency
    assert sum(path.by_queue().values()) == latency
    assert sum(path.by_engine().values()) == latency
    if timeline.latency_us > 0:
        assert sum(result.provenance_share.values()) == pytest.approx(1)
        guessed = sum(row.guess_us for row in result.ops)
        assert guessed == pytest.approx(result.provenance_share["guess"] * result.latency_us)
    ends, starts = timeline.end_us[path.tasks], timeline.start_us[path.tasks]
    np.testing.assert_array_equal(starts[1:], ends[:-1])


@law
@given(any_case)
def test_busy_time(case: Case) -> None:
    program, prices = case
    timeline = simulate(program, prices)
    result = metrics(timeline, prices)
    found, latency = result.statistics, timeline.latency_us
    for engine in engines_of(program):
        assert 0 <= found[f"{engine}_us"] <= latency * (1 + 1e-12)
        assert found[f"{engine}_us"] <= found[f"sum_{engine}_us"] * (1 + 1e-9)
        by_op = sum(getattr(row, f"{engine}_us") for row in result.ops)
        assert found[f"{engine}_us"] <= by_op * (1 + 1e-9) + 1e-9
        assert by_op <= found[f"sum_{engine}_us"] * (1 + 1e-9) + 1e-9
    assert 0 <= found["idle_us"] <= latency
    total = sum(found[f"sum_{engine}_us"] for engine in engines_of(program))
    assert total == pytest.approx(prices.duration_us.sum() + result.contended_us, rel=1e-9, abs=1e-9)
    assert all(0 <= share <= 1 + 1e-9 for share in result.queue_utilisation.values())
    assert sum(result.tasks.values()) == len(program.tasks)
