"""What ``npusim sweep`` and ``npusim optimize`` show on a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from npusim.cli.terminal import console
from npusim.explore.results import Explored
from npusim.explore.space import Space
from npusim.report.units import bytes_text, energy_text, time_text
from npusim.text import printable

_WIDTH = 140
_ROWS = 20
_MESSAGES = 5


def print_explored(space: Space, found: Explored, folder: Path, wall_s: float) -> None:
    """The Pareto front with its knee, what failed, and where the results are."""
    screen = console(width=_WIDTH)
    table = found.table
    axes = " × ".join(f"{printable(axis.name)} ({len(axis.values)})" for axis in space.axes)
    title = Text.assemble(
        (printable(space.model.name), "bold"), " on ", (printable(space.hardware.name), "bold")
    )
    screen.print(title)
    screen.print(f"{len(table):,} points of {axes}", soft_wrap=True)
    screen.print()
    best = [position for position, on in enumerate(found.front) if on]
    if best:
        screen.print(_front(found, best))
        if len(best) > _ROWS:
            screen.print(f"... and {len(best) - _ROWS} more of the front, in the tables")
    else:
        screen.print("No point has a result.")
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


def _front(found: Explored, best: list[int]) -> Table:
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", title_justify="left")
    shown.title = (
        f"Pareto front: {len(best)} points no other beats in {', '.join(found.objectives)}; * is the knee"
    )
    shown.add_column("")
    for axis in found.axes:
        shown.add_column(printable(axis.name), justify="right" if axis.numeric else "left")
    for name in ("latency", "tokens/s", "energy", "MACs/cycle", "CMX"):
        shown.add_column(name, justify="right")
    shown.add_column("bound")
    order = sorted(best, key=lambda position: found.table["latency_us"].iloc[position])
    keep = order[:_ROWS]
    if found.knee is not None and found.knee not in keep:
        keep = [*keep[:-1], found.knee]
    for position in keep:
        row = found.table.iloc[position]
        rate = row["tokens_per_s"]
        figures = (
            time_text(row["latency_us"]), f"{rate:,.1f}" if rate == rate else "", energy_text(row["energy_uj"]),  # noqa: PLR0124
            f"{row['macs_per_cycle']:,.0f}", bytes_text(row["cmx_bytes"]), row["bound"],
        )  # fmt: skip
        knee = position == found.knee
        values = (_value(row[axis.name]) for axis in found.axes)
        shown.add_row("*" if knee else "", *values, *figures, style="bold" if knee else "")
    return shown


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else printable(str(value))
