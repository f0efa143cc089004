"""A sweep: every point of a space evaluated once, wherever there are machines, and kept through kills."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from npusim.explore.constraints import Constraint
from npusim.explore.evaluate import evaluate, failed_row, program_keys
from npusim.explore.results import DEFAULT_OBJECTIVES, Explored, explored, objective_columns
from npusim.explore.space import Point, Space
from npusim.explore.store import COLUMNS, WORDS, Journal, Row, write_tables
from npusim.workers import Died, Machines, Pool, pool_of, run_all

if TYPE_CHECKING:
    import pandas as pd

_HERE = Machines()


@dataclass(frozen=True, slots=True)
class _Call:
    """A point, for a worker."""

    space: Space
    point: Point


def sweep(
    space: Space,
    points: Sequence[Point],
    folder: Path | None = None,
    machines: Machines = _HERE,
    objectives: Sequence[str] = DEFAULT_OBJECTIVES,
    progress: Callable[[int], None] = lambda done: None,
    retry_failed: bool = True,
    constraints: Sequence[Constraint] = (),
) -> Explored:
    """Results of ``points`` of ``space``, in their order, whatever the machines and however often it was interrupted.

    In ``folder`` finished points are kept as they come, and ``results.csv`` and ``results.parquet`` are written at the
    end; the same call goes on where an earlier one was killed, and tries points whose process died
    again unless ``retry_failed`` is False. ``progress`` is told how many points are done. Raises
    UserError where the folder belongs to another exploration or cannot be written, and where no cluster answers.
    """
    columns = objective_columns(objectives)
    keys = [space.key(point) for point in points]
    with Journal(folder, space.identity(), retry_failed) if folder else nullcontext(Unkept()) as kept:
        with pool_of(machines) as pool:
            rows = finish(space, dict(zip(keys, points, strict=True)), kept, pool, progress)
        table = table_of(space, [rows[key] for key in keys])
        if folder:
            write_tables(folder, table)
    return explored(table, space.axes, columns, constraints)


class Unkept:
    """A journal in memory."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.rows: dict[str, Row] = {}

    def add(self, rows: Mapping[str, Row]) -> None:
        """Note finished points."""
        self.rows |= rows


def finish(
    space: Space,
    points: dict[str, Point],
    kept: Journal | Unkept,
    pool: Pool,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Row]:
    """Rows by key of all ``points``: evaluates those that ``kept`` has not, and adds them as they are done."""
    todo = [point for key, point in points.items() if key not in kept.rows]
    done = len(points) - len(todo)
    progress(done)
    for call, row in run_all(_evaluate, _calls(space, todo), pool):
        found = failed_row(space, call.point, str(row)) if isinstance(row, Died) else row
        kept.add({space.key(call.point): found})
        done += 1
        progress(done)
    return {key: kept.rows[key] for key in points}


def _calls(space: Space, points: Sequence[Point]) -> list[_Call]:
    """The points, those of one Program behind each other."""
    groups: dict[Hashable, list[Point]] = {}
    for key, point in zip(program_keys(space, points), points, strict=True):
        groups.setdefault(key, []).append(point)
    return [_Call(space, point) for group in groups.values() for point in group]


def _evaluate(call: _Call) -> Row:
    return evaluate(call.space, call.point)


def table_of(space: Space, rows: Sequence[Row]) -> pd.DataFrame:
    """Rows as a table: the axes, then ``store.COLUMNS``."""
    import pandas as pd

    names = [*(axis.name for axis in space.axes), *COLUMNS]
    table = pd.DataFrame([[row.get(name) for name in names] for row in rows], columns=names)
    for name in COLUMNS:
        if name in WORDS:
            table[name] = table[name].fillna("").astype(str)
        else:
            table[name] = pd.to_numeric(table[name]).astype(
                "Int64" if name in ("tasks", "cmx_bytes") else float
            )
    return table
