"""Interval algebra on numpy arrays: sets of time as sorted, disjoint, non-touching intervals (one row each, µs)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.float64]


def union(start: npt.ArrayLike, end: npt.ArrayLike) -> Times:
    """The union of intervals [start, end) as an array of shape (n, 2). Empty intervals vanish."""
    begins, ends = np.asarray(start, float), np.asarray(end, float)
    keep = ends > begins
    begins, ends = begins[keep], ends[keep]
    if not len(begins):
        return np.empty((0, 2))
    order = np.argsort(begins, kind="stable")
    begins, reach = begins[order], np.maximum.accumulate(ends[order])
    first = np.flatnonzero(np.r_[True, begins[1:] > reach[:-1]])
    last = np.r_[first[1:], len(begins)] - 1
    return np.column_stack((begins[first], reach[last]))


def length(intervals: Times) -> float:
    """Total time in a union."""
    return float(np.sum(intervals[:, 1] - intervals[:, 0]))


def intersection(one: Times, other: Times) -> Times:
    """What two unions have in common."""
    points = np.concatenate((one.ravel(), other.ravel()))
    steps = np.concatenate((np.tile([1, -1], len(one)), np.tile([1, -1], len(other))))
    order = np.argsort(points, kind="stable")
    points, depth = points[order], np.cumsum(steps[order])
    both = np.flatnonzero(depth == 2)
    return union(points[both], points[both + 1]) if len(both) else np.empty((0, 2))


def complement(intervals: Times, begin: float, end: float) -> Times:
    """The part of [begin, end) outside a union."""
    edges = np.concatenate(([begin], np.clip(intervals.ravel(), begin, end), [end])).reshape(-1, 2)
    return edges[edges[:, 1] > edges[:, 0]]


def grouped_union_length(
    start: npt.ArrayLike, end: npt.ArrayLike, group: npt.ArrayLike, groups: int
) -> Times:
    """Length of the union of the intervals of every group 0 .. groups-1, without a loop over groups."""
    begins, ends, of = np.asarray(start, float), np.asarray(end, float), np.asarray(group, np.int64)
    if not len(begins):
        return np.zeros(groups)
    by_end = np.lexsort((ends, of))
    rank = np.empty(len(ends), np.int64)
    rank[by_end] = np.arange(len(ends))
    order = np.lexsort((begins, of))
    begins, of = begins[order], of[order]
    # Ranks grow from group to group, so that the running maximum starts anew in each.
    reach = ends[by_end][np.maximum.accumulate(rank[order])]
    covered = np.r_[-np.inf, np.where(of[1:] == of[:-1], reach[:-1], -np.inf)]
    lengths = np.zeros(groups)
    np.add.at(lengths, of, np.maximum(reach - np.maximum(begins, covered), 0.0))
    return lengths
