"""What an estimator says that products of dense matrices cost: its answers on a grid of rows, terms and channels.

Between the points of a grid the logarithm of the cycles is linear in the logarithm of each size, and beyond its ends it
goes on as at the end. The answers of a trained network have no formula that is short and near, and are smooth in these
logarithms but where a stencil ends, where points lie closely (evidence/costs.md#4.3).
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import product
from math import exp, log
from typing import NamedTuple

#: Columns of a table before those of the channels, whose names are their numbers.
KEYS = ("work", "rows", "terms")


class Grid(NamedTuple):
    """The answers for one kind of work: the sizes along each axis, ascending, and the cycles, all as logarithms."""

    axes: tuple[tuple[float, ...], ...]
    cycles: Mapping[tuple[int, int, int], float]

    def at(self, sizes: Sequence[int]) -> float:
        """DPU cycles of a workload of so many rows, terms and channels."""
        places = [_place(axis, log(size)) for axis, size in zip(self.axes, sizes, strict=True)]
        corners = product(*(((i, 1 - part), (i + 1, part)) for i, part in places))
        return exp(sum(self.cycles[a, b, c] * u * v * w for (a, u), (b, v), (c, w) in corners))


@cache
def grids(table: str) -> Mapping[str, Grid]:
    """The grids of a table, by the work that they price: the file of that name beside this module."""
    points: dict[str, dict[tuple[int, int, int], float]] = defaultdict(dict)
    with files(__package__).joinpath(f"{table}.csv").open(encoding="utf-8") as file:
        for line in csv.DictReader(row for row in file if not row.startswith("#")):
            work, rows, terms = (line.pop(name) for name in KEYS)
            points[work].update({(int(rows), int(terms), int(of)): float(line[of]) for of in line})
    return {work: _grid(of) for work, of in points.items()}


def _grid(points: Mapping[tuple[int, int, int], float]) -> Grid:
    axes = [sorted(set(sizes)) for sizes in zip(*points, strict=True)]
    places = [{size: i for i, size in enumerate(axis)} for axis in axes]
    cycles = {
        (places[0][rows], places[1][terms], places[2][channels]): log(of)
        for (rows, terms, channels), of in points.items()
    }
    return Grid(tuple(tuple(log(size) for size in axis) for axis in axes), cycles)


def _place(axis: Sequence[float], value: float) -> tuple[int, float]:
    """The number of the point below a value, and which part of the way to the next it is (beyond the ends: below 0 or
    above 1)."""
    below = min(max(bisect_right(axis, value) - 1, 0), len(axis) - 2)
    return below, (value - axis[below]) / (axis[below + 1] - axis[below])
