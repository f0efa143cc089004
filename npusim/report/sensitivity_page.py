"""What would change the latency: the tornado of its sensitivities, as blocks of a page and as a page of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from npusim.analysis.sensitivity import Sensitivity
from npusim.report.blocks import Block, command, number_column, plot, tab, text_column
from npusim.report.page import plot_text, render
from npusim.report.units import time_text

_MOST_BARS = 20


def sensitivity_blocks(rows: Sequence[Sensitivity]) -> list[Block]:
    """The tornado and its table, which must stand in the page's tables as ``sensitivity``."""
    lead = (
        "What 1 % more of a number does to the latency, to first order: the tasks, the critical path and the order of "
        "transfers stay as they are."
    )
    table: Block = {
        "kind": "table", "title": "All numbers", "table": "sensitivity", "file": "sensitivity.csv",
        "lead": "The elasticity is the same in per cent: -0.5 means that 1 % more takes 0.5 % off the latency.",
    }  # fmt: skip
    return [plot("What would change that", tornado(rows), lead), table]


def tornado(rows: Sequence[Sensitivity]) -> dict[str, Any]:
    """Bars to the left where more makes it faster, to the right where slower; the longest first."""
    shown = rows[:_MOST_BARS]
    faster = [row.us_per_percent < 0 for row in shown]
    data = [
        {
            "type": "bar", "orientation": "h", "name": name, "y": [i for i, f in enumerate(faster) if f == kind],
            "x": [row.us_per_percent for row, f in zip(shown, faster, strict=True) if f == kind],
            "marker": {"color": colour}, "hoverinfo": "text",
            "hovertext": [_hover(row) for row, f in zip(shown, faster, strict=True) if f == kind],
        }
        for kind, name, colour in ((True, "more is faster", "var:dma"), (False, "more is slower", "var:warn"))
        if kind in faster
    ]  # fmt: skip
    names = {
        "tickvals": list(range(len(shown))), "ticktext": [plot_text(row.path) for row in shown],
        "autorange": "reversed", "showgrid": False,
    }  # fmt: skip
    across = {"title": {"text": "change of the latency for 1 % more, µs"}, "zerolinecolor": "var:text"}
    layout = {"yaxis": names, "xaxis": across, "bargap": 0.25}
    return {
        "data": data, "layout": layout, "height": 130 + 24 * max(len(shown), 3), "label": "Tornado of the sensitivities"
    }  # fmt: skip


def _hover(row: Sensitivity) -> str:
    sign = "+" if row.us_per_percent > 0 else "−"
    change = f"{sign}{time_text(abs(row.us_per_percent))} for 1 % more ({row.elasticity:+.3f} %)"
    return f"{plot_text(row.path)}<br>now {row.value:,.6g} {plot_text(row.unit)}<br>{change}"


def sensitivity_table(rows: Sequence[Sensitivity]) -> dict[str, Any]:
    """All numbers that have an effect."""
    columns = [
        text_column("path", "Number of the hardware", [row.path for row in rows]),
        number_column("value", "Value", "", [row.value for row in rows], 4),
        text_column("unit", "Unit", [row.unit for row in rows]),
        number_column("us", "1 % more changes the latency by", "µs", [row.us_per_percent for row in rows], 3),
        number_column("elasticity", "Elasticity", "", [row.elasticity for row in rows], 4),
    ]
    return {"columns": columns}


def sensitivity_page(rows: Sequence[Sensitivity], title: str, subtitle: str, command_text: str = "") -> str:
    """The page of sensitivities alone, as HTML text."""
    blocks = [*sensitivity_blocks(rows), *command(command_text, "")]
    tabs = [tab("sensitivity", "What would change that", *blocks)]
    return render(title, subtitle, {"tabs": tabs, "tables": {"sensitivity": sensitivity_table(rows)}})
