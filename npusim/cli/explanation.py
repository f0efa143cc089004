"""How ``npusim run --explain`` prints why an op runs as it does."""

from __future__ import annotations

from itertools import groupby
from math import isfinite

from rich.table import Table
from rich.text import Text

from npusim.analysis.explain import Explanation
from npusim.api import Result
from npusim.cli.terminal import console as terminal
from npusim.program.journal import Entry
from npusim.report.looks import ENGINE_NAMES


def print_explanation(found: Explanation, result: Result) -> None:
    """Print what was decided about one op, and where its time goes in a run."""
    ops = zip(result.program.ops, result.metrics.ops, strict=True)
    op, row = next((pair for pair in ops if pair[0].name == found.runs_in), (None, None))
    console = terminal(soft_wrap=True)

    def say(line: str, indent: int = 2, style: str = "") -> None:
        console.print(Text(" " * indent + line, style))

    console.print()
    say(f"{found.name} {found.type}".strip(), 0, "bold")
    if op is None or row is None:
        say("costs nothing: no task belongs to it")
    elif found.runs_in != found.name:
        say(f"runs as part of {op.name} ({op.type})")
    for stage, entries in groupby(found.decisions, lambda entry: entry.stage):
        say(stage, style="bold")
        for entry in entries:
            say(entry.what, 4)
            if entry.costs_us:
                console.print(_weighed(entry))
    if op is not None and row is not None:
        say("time", style="bold")
        busy = f"DPU {row.dpu_us:,.1f}, SHAVE {row.shave_us:,.1f}, DMA {row.dma_us:,.1f} µs busy"
        say(
            f"{row.start_us:,.1f} to {row.end_us:,.1f} µs; {busy}; {row.exposed_us:,.1f} µs of the latency", 4
        )
        for wait in found.waits:
            whose = "its own" if wait.op == op.name else f"{wait.op}'s"
            say(
                f"its queues stood {wait.us:,.1f} µs in all, for {whose} {ENGINE_NAMES[wait.engine]} tasks", 4
            )


def _weighed(entry: Entry) -> Table:
    """The alternatives of a decision and what each was estimated to take."""
    table = Table.grid(padding=(0, 2))
    table.add_column(width=4)
    table.add_column()
    table.add_column(justify="right")
    for name, us in entry.costs_us:
        table.add_row("", name, f"{us:,.2f} µs" if isfinite(us) else "does not fit")
    return table
