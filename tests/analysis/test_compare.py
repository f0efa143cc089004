"""Comparisons: every microsecond of a speed-up belongs to one op type and to one change."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as ops

from npusim import api, workloads, xamba
from npusim.analysis.compare import Case, Comparison, compare
from npusim.cli.compare_tables import print_comparison, slower_because
from npusim.graph.load import graph_of
from npusim.hardware import load_hardware
from npusim.jobs.results import Compared
from npusim.workloads import Mamba2Config

TINY = Mamba2Config(name="tiny", title="", layers=2, d_model=64, vocab=80, d_state=32, head_dim=16, chunk=16)
PASSES = ("", "cumba", "contract,segsum,cumba", "reduba")


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    hw = load_hardware("lunarlake.yaml")
    stock = workloads.build(TINY, tokens=24)
    cases = []
    for passes in PASSES:
        graph = graph_of(xamba.apply(stock, passes)[0], "tiny", "tiny")
        result = api.simulate(api.lower(graph, hw), hw)
        cases.append(Case(passes, result.program.ops, result.metrics))
    return compare(cases)


def test_steps_and_changes_add_up_to_the_difference(comparison: Comparison) -> None:
    base = comparison.baseline
    for run in comparison.runs:
        difference = run.latency_us - base.latency_us
        assert sum(step.delta_us for step in run.steps) == pytest.approx(difference, abs=1e-6)
        assert sum(change.delta_us for change in run.changes) == pytest.approx(difference, abs=1e-6)
        assert sum(one.exposed_us for one in run.types) == pytest.approx(run.latency_us)
        assert run.speedup == pytest.approx(base.latency_us / run.latency_us)
        assert sum(one.ops for one in run.types) == len(run.metrics.ops)
    assert comparison.best.latency_us == min(run.latency_us for run in comparison.runs)


def test_the_baseline_has_no_difference_with_itself(comparison: Comparison) -> None:
    base = comparison.baseline
    assert base.speedup == 1
    assert {change.kind for change in base.changes} == {"same"}
    assert {step.delta_us for step in base.steps} == {0.0}


def test_ops_that_a_rewrite_moved_are_told_once_for_all_layers(comparison: Comparison) -> None:
    moved = {change.name: change for change in comparison.runs[1].changes if change.kind == "moved"}
    for name in ("cumsum_1", "cumsum_2"):
        change = moved[f"layers.*.mixer.{name}"]
        assert change.before is not None
        assert change.after is not None
        assert (change.count, change.before.type, change.before.engine) == (2, "CumSum", "shave")
        assert (change.after.type, change.after.engine) == ("MatMul", "dpu")


def test_parts_that_a_rewrite_made_belong_to_its_op(comparison: Comparison) -> None:
    run = comparison.runs[2]
    added = {change.name for change in run.changes if change.kind == "added"}
    assert added <= {"layers.*.mixer.y.unchunk"}, (
        "a Reshape that both have, and that has to move its data in one"
    )
    [scores] = [change for change in run.changes if change.name == "layers.*.mixer.scores.reduce_sum"]
    assert scores.after is not None
    assert scores.after.type == "MatMul"


def test_one_model_on_two_machines_has_the_same_ops(capsys: pytest.CaptureFixture[str]) -> None:
    """What costs more is told, the largest difference first, though all ops run in the same way."""
    graph = graph_of(workloads.build(TINY, tokens=24), "tiny", "tiny")
    cases = []
    for overrides in ((), ("ddr.bandwidth_gbps=40",)):
        hw = load_hardware("lunarlake.yaml", overrides)
        result = api.simulate(api.lower(graph, hw), hw)
        cases.append(Case(str(overrides), result.program.ops, result.metrics))
    comparison = compare(cases)
    slower = comparison.runs[1]
    assert slower.speedup <= 1
    assert {change.kind for change in slower.changes} == {"same"}
    most = slower.changes[0]
    assert most.delta_us > 0
    assert Compared(comparison, (), (), (), 0.0).changes()["op"].iloc[0] == most.name
    print_comparison(comparison, "tiny", "two machines", None)
    assert most.name in capsys.readouterr().out


def test_ops_named_by_counters_are_paired_by_type_shape_and_order() -> None:
    """The same network read twice: OpenVINO numbers nameless ops through a process, so that no name is the same."""
    hw = load_hardware("lunarlake.yaml")

    def case(label: str) -> Case:
        data = ops.parameter([1, 64], np.float16, name="data")
        value = data
        for width in (64, 64, 32):
            weights = np.full((value.shape[-1], width), width, np.float16)
            value = ops.relu(ops.add(ops.matmul(value, weights, False, False), np.ones(width, np.float16)))
        result = api.simulate(api.lower(graph_of(ov.Model([value], [data]), "m", "m"), hw), hw)
        return Case(label, result.program.ops, result.metrics)

    first, second = case("first"), case("second")
    assert not {op.name for op in first.ops} & {op.name for op in second.ops}
    found = compare([first, second]).runs[1]
    assert {change.kind for change in found.changes} == {"same"}
    assert {change.delta_us for change in found.changes} == {0.0}


def test_a_slower_run_says_what_it_does_more(comparison: Comparison) -> None:
    for run in comparison.runs:
        assert bool(slower_because(run, comparison.baseline)) <= (
            run.latency_us > comparison.baseline.latency_us
        )
