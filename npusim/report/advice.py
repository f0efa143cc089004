"""What would help, on the page of a run: the table of advice, or the command that asks for it."""

from __future__ import annotations

from typing import Any

from npusim.report.blocks import Block, command, number_column, text_column
from npusim.report.subject import Subject

_LEAD = (
    "Changes to the model, or to how it is run, each of them simulated; none is checked for what it does to accuracy. "
    "Click a column to sort by it."
)


def advice_blocks(subject: Subject) -> list[Block]:
    """The table, if advice was asked for; else the command."""
    if subject.advice:
        return [
            {
                "kind": "table",
                "title": "What would help",
                "lead": _LEAD,
                "table": "advice",
                "file": "advice.csv",
            }
        ]
    return command(subject.ask_advice, title="What would help? Ask")


def advice_table(subject: Subject) -> dict[str, Any]:
    """The table ``advice``: a row a change, the most helpful first."""
    rows = subject.advice
    columns = [
        text_column("what", "Change", [row.what for row in rows]),
        number_column("gain", "Gain", "×", [row.gain for row in rows], 2),
        text_column("measure", "Of", [row.measure for row in rows]),
        number_column("before", "Before", "µs", [row.before_us for row in rows], 1),
        number_column("after", "After", "µs", [row.after_us for row in rows], 1),
        text_column("how", "How", [row.how for row in rows]),
        text_column("command", "Command", [row.command for row in rows]),
        text_column("rests", "Rests on", [row.rests_on for row in rows]),
    ]
    return {"columns": columns}
