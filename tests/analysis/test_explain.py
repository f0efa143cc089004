"""Explanations: keeping a journal changes nothing, every op of the model has one, and what was chosen cost least."""

from __future__ import annotations

import pytest

import npusim
from npusim import api
from npusim.analysis.explain import explain
from npusim.lowering import lower
from npusim.lowering.place import replicate
from npusim.program.journal import Entry


@pytest.fixture(scope="module")
def hw() -> api.Hardware:
    return npusim.load_hardware("lunarlake.yaml")


@pytest.fixture(scope="module")
def graph() -> api.Graph:
    return npusim.build_workload("mamba2-130m", tokens=40, layers=5)


@pytest.fixture(scope="module")
def run(graph, hw) -> tuple[api.Result, list[Entry]]:
    program, entries = api.lower_explained(graph, hw)
    return npusim.simulate(program, hw), entries


def test_a_journal_changes_nothing(graph, hw, run) -> None:
    assert run[0].program == lower(graph, hw)
    assert len(set(run[1])) == len(run[1])


def test_copied_layers_are_explained_as_those_that_they_copy(hw, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = npusim.build_workload("mamba2-130m", phase="decode", layers=10)
    _, entries = api.lower_explained(graph, hw)
    monkeypatch.setattr(replicate, "find_repeat", lambda nodes, outputs: None)
    _, one_by_one = api.lower_explained(graph, hw)
    assert set(entries) == set(one_by_one)


def test_every_op_of_the_model_is_explained(graph, run) -> None:
    result, entries = run
    for op in graph.ops:
        found = explain(result.timeline, entries, op.name)
        assert found.decisions, op.name


def test_what_was_chosen_cost_least(run) -> None:
    weighed = [entry for entry in run[1] if entry.costs_us]
    assert len(weighed) >= 10
    for entry in weighed:
        best = min(entry.costs_us, key=lambda cost: cost[1])[0]
        assert best.split()[0] == entry.what.split()[0], entry


def test_waits_are_those_of_the_timeline(graph, run) -> None:
    result, entries = run
    name = next(op.name for op in graph.ops if op.name.endswith("layers.1.mixer.in_proj"))
    waits = explain(result.timeline, entries, name).waits
    assert waits
    assert all(0 < wait.us <= result.latency_us * len(result.program.queues) for wait in waits)
    assert [wait.us for wait in waits] == sorted((wait.us for wait in waits), reverse=True)


@pytest.mark.parametrize(
    ("asked", "said"),
    [("in_proj", "5 ops have 'in_proj'"), ("in_porj", "did you mean one of"), ("\x1b", "no op")],
)
def test_a_name_that_is_not_one_op_is_an_error(run, asked: str, said: str) -> None:
    with pytest.raises(npusim.UserError, match=said):
        explain(run[0].timeline, run[1], asked)


def test_an_op_is_found_without_regard_to_case_and_by_its_type(run) -> None:
    result, entries = run
    ops = result.program.ops
    assert explain(result.timeline, entries, ops[0].name.swapcase()).name == ops[0].name
    kinds = [op.type for op in ops]
    alone = next(
        op for op in ops if kinds.count(op.type) == 1 and all(op.type not in other.name for other in ops)
    )
    assert explain(result.timeline, entries, alone.type.lower()).name == alone.name
