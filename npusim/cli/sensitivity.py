"""``npusim sensitivity``: what each number of the hardware is worth, exact from the critical path."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from npusim.cli.machines import machine_with_warnings
from npusim.cli.options import GuessOption, HwOption, JsonOption, ModelOptions, RulesOption, SetOption
from npusim.cli.progress import progress
from npusim.cli.terminal import console, print_json
from npusim.jobs.commands import command_line

if TYPE_CHECKING:
    from npusim.analysis.sensitivity import Sensitivity

#: Name and version of the document; the number grows when a key changes its meaning or goes.
SCHEMA = "npusim.sensitivity/1"
_ROWS = 20
_BAR = 24


def sensitivity_command(
    hw: HwOption,
    asked: ModelOptions,
    overrides: SetOption = None,
    xamba: RulesOption = None,
    allow_guess: GuessOption = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write report.html with the tornado chart.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """By how much does the latency change for one per cent more of each number of the hardware?"""
    source = asked.source()
    with progress() as step:
        step("simulating")
        from npusim import api
        from npusim.analysis.sensitivity import sensitivities
        from npusim.explore.rewrites import graph_for

        hardware = machine_with_warnings(hw, overrides).hardware
        program = api.lower(graph_for(source, xamba or "", hardware), hardware)
        result = api.simulate(program, hardware, engine="fast", allow_guess=allow_guess)
        step("following the critical path")
        rows = sensitivities(result)
        if out is not None:
            options = [
                ("--hw", hw), *source.options(), ("--set", overrides), ("--xamba", xamba),
                ("--allow-guess", allow_guess),
            ]  # fmt: skip
            _write_page(rows, out, source.name, hardware.name, command_line("sensitivity", options))
    if as_json:
        document = {
            "schema": SCHEMA,
            "hardware": hardware.name,
            "workload": source.name,
            "latency_us": result.latency_us,
            "sensitivities": [asdict(row) for row in rows],
        }
        print_json(document)
    else:
        _print(rows, source.name, hardware.name, result.latency_us, out)


def _write_page(rows: list[Sensitivity], folder: Path, subject: str, hardware: str, command: str) -> None:
    from npusim.report.sensitivity_page import sensitivity_page
    from npusim.report.write import write_page

    write_page(folder, sensitivity_page(rows, subject, f"on {hardware}", command))


def _print(rows: list[Sensitivity], subject: str, hardware: str, latency_us: float, out: Path | None) -> None:
    from rich.text import Text

    from npusim.cli.tables import WHOLE, Column, fitted, width_of_output
    from npusim.report.units import time_text
    from npusim.text import printable

    screen = console(width=width_of_output(WHOLE))
    screen.print(
        Text.assemble(
            (printable(subject), "bold"), " on ", (printable(hardware), "bold"), f": {time_text(latency_us)}"
        )
    )
    screen.print()
    longest = max((abs(row.us_per_percent) for row in rows), default=1.0)
    columns = (
        Column("number", folds=True), Column("now", "right"), Column("change, µs", "right"),
        Column("change, %", "right"), Column("", rank=1),
    )  # fmt: skip
    cells = []
    for row in rows[:_ROWS]:
        bar = "█" * max(1, round(_BAR * abs(row.us_per_percent) / longest))
        cells.append((
            row.path, f"{row.value:,.6g} {row.unit}".rstrip(), f"{row.us_per_percent:+,.3f}",
            f"{row.elasticity:+.4f}", Text(bar, "green" if row.us_per_percent < 0 else "red"),
        ))  # fmt: skip
    title = "what 1 % more of a number does to the latency, the tasks staying as they are"
    screen.print(fitted(columns, cells, screen.width, title))
    if len(rows) > _ROWS:
        screen.print(f"... and {len(rows) - _ROWS} numbers with less effect (--json has all)")
    if out is not None:
        screen.print(Text.assemble("\nReport in ", (f"{out}/", "bold")), soft_wrap=True)
