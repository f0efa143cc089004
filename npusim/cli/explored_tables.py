"""What ``npusim sweep`` and ``npusim optimize`` show on a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from npusim.cli.tables import WHOLE, Column, fitted, width_of_output
from npusim.cli.terminal import console
from npusim.explore.constraints import nearest
from npusim.explore.results import Explored
from npusim.explore.space import Space
from npusim.report.units import bytes_text, energy_text, time_text
from npusim.text import printable

_ROWS = 20
_MESSAGES = 5
#: Of what constraints limit.
_UNITS = {"latency_us": "µs", "energy_uj": "µJ", "macs_per_cycle": "MACs a cycle", "cmx_bytes": "bytes"}
_TEXTS = {
    "latency_us": time_text, "energy_uj": energy_text, "macs_per_cycle": "{:,.0f} MACs a cycle".format,
    "cmx_bytes": bytes_text,
}  # fmt: skip


def print_explored(space: Space, found: Explored, folder: Path, wall_s: float) -> None:
    """The Pareto front with its knee, what failed, and where the results are."""
    screen = console(width=width_of_output(WHOLE))
    table = found.table
    axes = " × ".join(f"{printable(axis.name)} ({len(axis.values)})" for axis in found.axes)
    title = Text.assemble(
        (printable(space.model.name), "bold"), " on ", (printable(space.hardware.name), "bold")
    )
    screen.print(title)
    screen.print(f"{len(table):,} points of {axes}", soft_wrap=True)
    screen.print()
    best = [position for position, on in enumerate(found.front) if on]
    if best:
        screen.print(_front(found, best, screen.width))
        if len(best) > _ROWS:
            screen.print(f"... and {len(best) - _ROWS} more of the front, in the tables")
    else:
        screen.print(_why_empty(found), soft_wrap=True)
    messages = table.loc[table["error"] != "", "error"].value_counts()
    if len(messages):
        screen.print()
        screen.print(f"{found.failed:,} of {len(table):,} points cannot be:")
        for message, count in list(messages.items())[:_MESSAGES]:
            screen.print(f"  {count:,} × {printable(str(message))}", soft_wrap=True)
        if len(messages) > _MESSAGES:
            screen.print(f"  ... and {len(messages) - _MESSAGES} other reasons, in the tables")
    screen.print()
    screen.print(Text.assemble("Results in ", (f"{folder}/", "bold"), f"  ({wall_s:.1f} s)"), soft_wrap=True)


def _front(found: Explored, best: list[int], width: int) -> Table:
    """Points of the front, those of one size of work together, the fastest first."""
    table, rated = found.table, bool(found.table["tokens_per_s"].notna().any())
    columns = (
        Column(""), *(Column(axis.name, "right" if axis.numeric else "left", folds=True) for axis in found.axes),
        Column("latency", "right"), *([Column("tokens/s", "right", 2)] if rated else []), Column("energy", "right", 1),
        Column("MACs/cycle", "right", 3), Column("CMX", "right", 4), Column("bound", rank=5),
    )  # fmt: skip
    order = table.iloc[best].sort_values([*found.work, "latency_us"], kind="stable").index
    keep = [int(label) for label in order[:_ROWS]]
    if found.knee is not None and found.knee not in keep:
        keep = [*keep[:-1], found.knee]
    rows = []
    for position in keep:
        row = table.iloc[position].to_dict()
        rate = row["tokens_per_s"]
        rows.append((
            "*" if position == found.knee else "", *(_value(row[axis.name]) for axis in found.axes),
            time_text(row["latency_us"]), *([f"{rate:,.1f}" if rate == rate else ""] if rated else []),  # noqa: PLR0124
            energy_text(row["energy_uj"]), f"{row['macs_per_cycle']:,.0f}", bytes_text(row["cmx_bytes"]), row["bound"],
        ))  # fmt: skip
    other = f"other of equal {', '.join(found.work)}" if found.work else "other"
    knee = "" if found.knee is None else "; * is the knee"
    count = f"{len(best)} point{'s' if len(best) > 1 else ''}"
    title = f"Pareto front: {count} no {other} beats in {', '.join(found.objectives)}{knee}"
    bold = [number for number, position in enumerate(keep) if position == found.knee]
    return fitted(columns, rows, width, title, bold)


def _why_empty(found: Explored) -> str:
    """Why no point is on the front: none has a result, or none keeps the constraints; then the nearest one."""
    at = nearest(found.table, found.constraints)
    if at is None:
        return "No point has a result."
    row = found.table.iloc[at]
    limits = " and ".join(f"{one.text} {_UNITS[one.column]}" for one in found.constraints)
    values = dict.fromkeys(one.column for one in found.constraints if not one.keeps(row[one.column]))
    have = ", ".join(_TEXTS[column](row[column]) for column in values)
    point = ", ".join(f"{axis.name}={_value(row[axis.name])}" for axis in found.axes)
    return printable(f"none of {len(found.table):,} points keeps {limits}; the nearest has {have} ({point})")


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else printable(str(value))
