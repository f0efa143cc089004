"""Which points are best when several things count: the Pareto front, and its knee."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def pareto_front(costs: npt.ArrayLike) -> Mask:
    """Points that no other point beats: none is at most as high everywhere and lower somewhere.

    ``costs`` has shape (points, objectives), lower is better; a row with nan is never on the front. Of equal points all
    are on it. Returns a mask of shape (points,).
    """
    table = np.asarray(costs, float)
    front = np.zeros(len(table), bool)
    known = np.flatnonzero(~np.isnan(table).any(axis=1))
    order = known[np.lexsort(table[known].T[::-1])]
    best = np.empty((0, table.shape[1]))
    for at in order:  # in lexical order no later point beats an earlier one
        row = table[at]
        beaten = ((best <= row).all(axis=1) & (best < row).any(axis=1)).any()
        if not beaten:
            front[at] = True
            best = np.vstack((best, row))
    return front


def knee(costs: npt.ArrayLike, front: Mask) -> int | None:
    """The point of the front nearest to the ideal, that has the best of every objective at once; None for no front.

    Distances are Euclidean after every objective is scaled to 0 .. 1 over the front. Of equals the first.
    """
    table = np.asarray(costs, float)
    at = np.flatnonzero(front)
    if not len(at):
        return None
    low, high = table[at].min(axis=0), table[at].max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    return int(at[np.linalg.norm((table[at] - low) / width, axis=1).argmin()])
