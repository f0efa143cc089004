"""The front and the knee against their definitions."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from npusim.explore.pareto import knee, pareto_front

_COST = st.integers(0, 4) | st.just(float("nan"))


@settings(max_examples=200, deadline=None)
@given(width=st.integers(1, 3), data=st.data())
def test_the_front_is_what_nothing_beats(width: int, data: st.DataObject) -> None:
    table = data.draw(st.lists(st.lists(_COST, min_size=width, max_size=width), max_size=12))
    costs = np.array(table, float).reshape(-1, width)
    known = ~np.isnan(costs).any(axis=1)

    def beaten(i: int) -> bool:
        return any(
            known[j] and (costs[j] <= costs[i]).all() and (costs[j] < costs[i]).any()
            for j in range(len(costs))
        )

    assert pareto_front(costs).tolist() == [bool(known[i]) and not beaten(i) for i in range(len(costs))]


def test_the_knee_is_nearest_to_the_best_of_everything() -> None:
    costs = np.array([[0, 10], [1, 2], [10, 0], [1, 3]])
    front = pareto_front(costs)
    assert front.tolist() == [True, True, True, False]
    assert knee(costs, front) == 1
    assert knee(costs * [1e6, 1e-6], front) == 1
    assert knee(costs, np.zeros(4, bool)) is None
