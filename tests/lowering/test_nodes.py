"""Nodes and plans: plain values, and a way to place every kind."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.lowering.ir import nodes
from npusim.lowering.ir.nodes import Copy, Node, Reduce
from npusim.lowering.ir.plan import Plan, Slice
from npusim.lowering.ir.values import WHOLE, Value
from npusim.lowering.place.engines import ENGINES
from npusim.lowering.place.settle import linked


def kinds() -> set[type[Node]]:
    """The kinds of nodes that there are: classes that no other refines."""
    known = [x for x in vars(nodes).values() if isinstance(x, type) and issubclass(x, Node)]
    return {kind for kind in known if not any(x is not kind and issubclass(x, kind) for x in known)}


def copied(made: int, read: int, chain: int = -1) -> Plan:
    """A plan that reads a storage and makes another one."""
    node = Copy("copy", "Copy", (Value(read, (4,)),), Value(made, (4,)))
    return Plan(node, node.inputs, [WHOLE], node.output, WHOLE, [Slice([], [], [], (8,))], "", chain=chain)


def test_every_kind_of_node_is_placed() -> None:
    assert kinds() == set(ENGINES)


def test_nothing_changes_a_node_or_a_plan() -> None:
    plan = copied(1, 0)
    for value in (plan, plan.node, plan.slices[0]):
        for field in fields(value):
            with pytest.raises(FrozenInstanceError):
                setattr(value, field.name, None)


@given(st.data())
def test_a_reduction_sees_memory_as_before_axes_and_after(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(2, 9), min_size=1, max_size=4)))
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    first = data.draw(st.integers(0, len(shape) - 1))
    last = data.draw(st.integers(first, len(shape) - 1))
    axes = order[first : last + 1]
    view = Reduce("r", "ReduceSum", (Value(0, shape, order=order),), Value(1, ()), by="sum", axes=axes).view
    dims = [shape[d] for d in order]
    assert view == (prod(dims[:first]), prod(dims[first : last + 1]), prod(dims[last + 1 :]))


def test_a_plan_that_others_are_chained_to_is_of_their_chain() -> None:
    """The first of a chain is made before the others, and no later plan is taken for it."""
    plans = [copied(1, 0), copied(2, 1), copied(3, 2, chain=2), copied(4, 3, chain=2), copied(5, 4)]
    assert [plan.chain for plan in linked(plans)] == [-1, 2, 2, 2, -1]
