"""What an exploration found: a table of points, and which of them are best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from npusim.errors import UserError
from npusim.explore.axes import Axis
from npusim.explore.constraints import Constraint, kept
from npusim.explore.pareto import Mask, knee, pareto_front

if TYPE_CHECKING:
    import pandas as pd

#: Objectives by the name that the command line has for them: columns, all of which are better when lower. ``area`` has
#: no scale of its own: multiply-accumulates and scratchpad are weighed apart.
ObjectiveName = Literal["latency", "energy", "area", "macs", "cmx"]
OBJECTIVES: dict[str, tuple[str, ...]] = {
    "latency": ("latency_us",),
    "energy": ("energy_uj",),
    "area": ("macs_per_cycle", "cmx_bytes"),
    "macs": ("macs_per_cycle",),
    "cmx": ("cmx_bytes",),
}
DEFAULT_OBJECTIVES: tuple[ObjectiveName, ...] = ("latency", "energy", "area")


@dataclass(frozen=True, slots=True)
class Explored:
    """Points of a design space with their results.

    ``table`` has one row a point, in the order of the space: a column for every axis (named as the axis), then
    ``store.COLUMNS``; where ``error`` is not empty the results are missing (NaN, or an empty ``bound``).
    ``objectives`` are columns of it, lower is better. ``front`` marks the rows that no other of the same work beats,
    shape (points,); ``knee`` is the position of the row nearest to the best of everything, None where there is no front
    or there are several, as the points are of several sizes of work.
    """

    table: pd.DataFrame
    axes: tuple[Axis, ...]
    objectives: tuple[str, ...]
    front: Mask
    knee: int | None
    constraints: tuple[Constraint, ...] = ()

    @property
    def work(self) -> tuple[str, ...]:
        """The axes along which the work differs."""
        return _work(self.axes)

    @property
    def failed(self) -> int:
        """Points without a result."""
        return int((self.table["error"] != "").sum())


def explored(
    table: pd.DataFrame,
    axes: tuple[Axis, ...],
    objectives: Sequence[str],
    constraints: Sequence[Constraint] = (),
) -> Explored:
    """A table with its Pareto front and knee by some columns; rows with an error, or that break a constraint, are on no
    front, and work of different sizes is not compared."""
    costs = table[list(objectives)].to_numpy(float, copy=True)
    costs[(table["error"] != "").to_numpy() | ~kept(table, constraints)] = np.nan
    front = np.zeros(len(table), bool)
    sizes = _sizes(table, axes)
    for rows in sizes:
        front[rows] = pareto_front(costs[rows])
    middle = knee(costs, front) if len(sizes) == 1 else None
    return Explored(table, axes, tuple(objectives), front, middle, tuple(constraints))


def _work(axes: Sequence[Axis]) -> tuple[str, ...]:
    return tuple(axis.name for axis in axes if axis.of_work)


def _sizes(table: pd.DataFrame, axes: Sequence[Axis]) -> list[npt.NDArray[np.intp]]:
    """The positions of the rows of every size of work: less work would always win."""
    names = list(_work(axes))
    if not names:
        return [np.arange(len(table))]
    return [np.asarray(rows) for rows in table.groupby(names, dropna=False).indices.values()]


def objective_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Columns of objectives by name, each once. Raises UserError for an unknown name, and for none."""
    if not names:
        raise UserError(f"no objective: say what should be low, of {', '.join(OBJECTIVES)}")
    columns: list[str] = []
    for name in names:
        if name not in OBJECTIVES:
            raise UserError(f"--objective {name}: must be one of {', '.join(OBJECTIVES)}")
        columns += [column for column in OBJECTIVES[name] if column not in columns]
    return tuple(columns)
