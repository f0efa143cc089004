"""The number of tasks is bounded, an op's before its plan is made, and told before a schedule is."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

import npusim
from npusim import size
from npusim.errors import UserError
from npusim.graph import from_openvino
from npusim.jobs.machine import machine_of
from npusim.jobs.run import simulate_model
from npusim.lowering import lower
from npusim.lowering.ir.values import ceil_div, divisors, even, fewest_parts, piece
from npusim.lowering.tile.slices import Demand, cut
from npusim.program.work import DmaWork
from npusim.size import about_time, telling
from npusim.source import ModelSource

HARDWARE = npusim.load_hardware("lunarlake")


def relu(elements: int) -> ov.Model:
    given = op.parameter([1, elements], np.float16, name="given")
    return ov.Model([op.relu(given)], [given], "m")


def test_an_op_of_more_tasks_than_any_has_is_refused_at_once() -> None:
    """2^31 - 1 elements that no dimension shares: more than 33 million workloads, minutes and 25 GiB as it was."""
    with pytest.raises(
        UserError, match=r"'.*' would be 25,165,824 tasks, and no op .* has more than 2,097,152"
    ):
        lower(from_openvino(relu(2**31 - 1)), HARDWARE)


def test_slices_of_any_number_of_rows_are_found_among_few() -> None:
    """Those of 2^31 - 1 rows were tried one by one: a convolution of a small image, padded so far, took minutes."""
    tried: list[int] = []

    def computes(rows: int, granules: int) -> float:
        tried.append(rows)
        return rows * granules

    rows = 2**31 - 1
    found = cut(Demand(16 * rows, 512, 32 * rows, rows, 1, computes=computes), HARDWARE, True, False)
    assert found.rows > 1
    assert len(tried) < 4 * 2**16


@pytest.mark.parametrize("whole", [*range(1, 60), 997, 1024])
def test_parts_are_those_that_trying_each_finds(whole: int) -> None:
    first = {ceil_div(whole, n): n for n in range(whole, 0, -1)}
    assert list(fewest_parts(whole)) == sorted(first.values())
    assert divisors(whole) == [n for n in range(1, whole + 1) if whole % n == 0]
    for parts in (1, 2, 7, whole, whole + 3):
        cuts = even(whole, parts)
        for i in range(parts + 1):
            assert piece(whole, parts, i) == (sum(cuts[:i]), sum(cuts[i : i + 1]))


def test_a_slice_that_sees_padding_alone_loads_no_less_than_nothing() -> None:
    """It loaded less than nothing, and the engine refused its price."""
    given = op.parameter([1, 4, 8, 8], np.float16, name="given")
    weights = np.ones((4, 4, 3, 3), np.float16)
    node = op.convolution(given, weights, [1, 1], [10**6, 0], [0, 0], [1, 1])
    program = lower(from_openvino(ov.Model([node], [given], "m")), HARDWARE)
    assert min(task.work.bytes for task in program.tasks if isinstance(task.work, DmaWork)) >= 0


def test_recurrences_of_more_ops_than_any_model_has_are_refused_at_once() -> None:
    given, first = op.parameter([1, 10**6, 4], np.float32), np.zeros((1, 1, 4), np.float32)
    weights = (
        np.zeros((1, 12, 4), np.float32),
        np.zeros((1, 12, 4), np.float32),
        np.zeros((1, 12), np.float32),
    )
    steps = op.gru_sequence(given, first, np.array([10**6]), *weights, 4, "forward")
    with pytest.raises(UserError, match="more than 524,288 ops"), telling(lambda tasks: None):
        lower(from_openvino(ov.Model([steps.output(0)], [given], "m")), HARDWARE)


def test_what_takes_long_is_told_first(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = from_openvino(relu(1 << 14))
    told: list[int] = []
    with telling(told.append):
        lower(graph, HARDWARE)
        assert told == []
        monkeypatch.setattr(size, "MANY_TASKS", 10)
        program = lower(graph, HARDWARE)
    lower(graph, HARDWARE)
    assert told == [pytest.approx(len(program.tasks), rel=0.5)]
    assert "up to 20 s" in about_time(1_000_000)
    monkeypatch.setattr(size, "MOST_TASKS", 10)
    with pytest.raises(UserError, match="fewer --tokens or fewer --layers"):
        lower(graph, HARDWARE)


def test_many_tasks_are_for_the_fast_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    source, machine = ModelSource(model=relu(1 << 14)), machine_of("lunarlake")
    assert simulate_model(source, machine).result.timeline.engine == "event"
    monkeypatch.setattr("npusim.jobs.run.MANY_TASKS", 10)
    assert simulate_model(source, machine).result.timeline.engine == "fast"
    assert simulate_model(source, machine, engine="event").result.timeline.engine == "event"
