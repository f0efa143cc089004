"""What an estimator says that products of dense matrices and convolutions cost: its answers on a grid of sizes.

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
from math import exp, log, prod
from typing import NamedTuple

#: Sizes: rows, of convolutions columns, terms (of a convolution the channels that it reads) and output channels.
Sizes = tuple[int, ...]
#: The column of a table that says what its lines price. Those behind it are sizes but for the last size, the channels,
#: each of which has a column whose name is its number.
WORK = "work"


class Grid(NamedTuple):
    """The answers for one kind of work: the sizes along each axis, ascending, and the cycles, all as logarithms."""

    axes: tuple[tuple[float, ...], ...]
    cycles: Mapping[Sizes, float]

    def at(self, sizes: Sequence[float]) -> float:
        """DPU cycles of a workload of such sizes."""
        places = [_place(axis, log(size)) for axis, size in zip(self.axes, sizes, strict=True)]
        corners = product(*(((i, 1 - part), (i + 1, part)) for i, part in places))
        parts = (zip(*corner, strict=True) for corner in corners)
        return exp(sum(self.cycles[at] * prod(shares) for at, shares in parts))


@cache
def grids(table: str) -> Mapping[str, Grid]:
    """The grids of a table, by the work that they price: the file of that name beside this module."""
    points: dict[str, dict[Sizes, float]] = defaultdict(dict)
    with files(__package__).joinpath(f"{table}.csv").open(encoding="utf-8") as file:
        lines = csv.reader(row for row in file if not row.startswith("#"))
        names = next(lines)
        last = sum(not name.isdecimal() for name in names)
        channels = [int(name) for name in names[last:]]
        for line in lines:
            sizes, known = tuple(map(int, line[1:last])), points[line[names.index(WORK)]]
            known.update(
                {(*sizes, of): float(cycles) for of, cycles in zip(channels, line[last:], strict=True)}
            )
    return {work: _grid(of) for work, of in points.items()}


def _grid(points: Mapping[Sizes, float]) -> Grid:
    axes = [sorted(set(sizes)) for sizes in zip(*points, strict=True)]
    places = [{size: i for i, size in enumerate(axis)} for axis in axes]
    cycles = {
        tuple(place[size] for place, size in zip(places, sizes, strict=True)): log(of)
        for sizes, of in points.items()
    }
    return Grid(tuple(tuple(log(size) for size in axis) for axis in axes), cycles)


def _place(axis: Sequence[float], value: float) -> tuple[int, float]:
    """The number of the point below a value, and which part of the way to the next it is (beyond the ends: below 0 or
    above 1)."""
    below = min(max(bisect_right(axis, value) - 1, 0), len(axis) - 2)
    return below, (value - axis[below]) / (axis[below + 1] - axis[below])
