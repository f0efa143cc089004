"""Interval algebra against counting on a grid."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from npusim.analysis.intervals import complement, grouped_union_length, intersection, length, union
from tests.strategies import law

GRID = 12
intervals = st.lists(st.tuples(st.integers(0, GRID), st.integers(0, GRID)).map(sorted), max_size=6)


def cells(pairs: object) -> set[int]:
    """The unit cells of the grid that intervals cover."""
    return {cell for begin, end in pairs for cell in range(int(begin), int(end))}  # type: ignore[attr-defined]


def make(pairs: list[list[int]]) -> np.ndarray:
    array = np.array(pairs, float).reshape(-1, 2)
    return union(array[:, 0], array[:, 1])


@law
@given(intervals)
def test_union_is_sorted_disjoint_and_complete(pairs: list[list[int]]) -> None:
    result = make(pairs)
    assert cells(result) == cells(pairs)
    assert (np.diff(result.ravel()) > 0).all()
    assert length(result) == len(cells(pairs))


@law
@given(intervals, intervals)
def test_intersection(one: list[list[int]], other: list[list[int]]) -> None:
    assert cells(intersection(make(one), make(other))) == cells(one) & cells(other)


@law
@given(intervals, st.integers(0, GRID), st.integers(0, GRID))
def test_complement(pairs: list[list[int]], begin: int, end: int) -> None:
    assert cells(complement(make(pairs), begin, end)) == set(range(begin, end)) - cells(pairs)


@law
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, GRID), st.integers(0, GRID)), max_size=10))
def test_grouped_union_length(rows: list[tuple[int, int, int]]) -> None:
    group = [g for g, _, _ in rows]
    begin, end = [min(a, b) for _, a, b in rows], [max(a, b) for _, a, b in rows]
    expected = [
        len(cells((a, b) for g, a, b in zip(group, begin, end, strict=True) if g == one)) for one in range(4)
    ]
    assert grouped_union_length(begin, end, group, 4).tolist() == expected
