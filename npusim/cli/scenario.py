"""``npusim scenario``: several programs as one answer, from a file that composes them."""

from __future__ import annotations

from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from npusim.cli.folders import default_folder, free_folder, point_latest
from npusim.cli.options import JsonOption, NoReportOption
from npusim.cli.progress import progress
from npusim.cli.terminal import console, print_json
from npusim.jobs.commands import command_line

if TYPE_CHECKING:
    from npusim.jobs.scenario import ScenarioAnswer


def scenario_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.yaml", help="Programs, and the operator that composes them.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Report folder.  [default: npusim-out/...]")
    ] = None,
    no_report: NoReportOption = False,
    as_json: JsonOption = False,
) -> None:
    """Early exits, cuts over a link, programs together, many users, less memory: several programs as one answer.

    A file names programs (model, hardware, rewrites) and has one of mix, split, together, rows and budget;
    docs/scenarios.md has an example of each.
    """
    with progress() as step:
        step("reading the scenario")
        from npusim.jobs.scenario import answered
        from npusim.scenarios.read import read_scenario

        spec = read_scenario(file)
        step("simulating its programs")
        again = f"{command_line('scenario', [])} {file}"
        found = answered(spec, file.parent, again)
        document, folder = found.document(), out
        if out is None and not no_report:
            folder = free_folder(default_folder("scenario", str(file)), "scenario.json", document)
        if folder is not None:
            step("writing the report")
            found.report(folder)
            point_latest(folder)
    if as_json:
        print_json(document)
        return
    print_scenario(found)
    if folder is not None:
        print(f"\nReport in {folder}/")


#: Rows of the table that a terminal shows.
_MOST_ROWS = 24
#: Columns that a terminal leaves to the report.
_LONG = ("position", "op", "last", "jitter_us", "refused")


def print_scenario(found: ScenarioAnswer) -> None:
    """The headline, figures of the whole, and a table."""
    from rich.text import Text

    from npusim.cli.tables import Column, fitted, folded, width_of_output
    from npusim.text import printable

    width = width_of_output()
    screen = console(width=width)
    screen.print(Text(folded([printable(found.headline())], width)))
    screen.print(Text(f"on {printable(found.answer.hardware)}"))
    frame = found.to_frame()
    shown = frame.drop(columns=[name for name in _LONG if name in frame])
    columns = [Column(name.replace("_", " "), "left" if shown[name].dtype == object else "right", rank=rank)
               for rank, name in enumerate(shown.columns)]  # fmt: skip
    cells = [tuple(_cell(value) for value in row) for row in shown.head(_MOST_ROWS).itertuples(index=False)]
    screen.print()
    screen.print(fitted(columns, cells, width))
    if len(shown) > _MOST_ROWS:
        screen.print(Text(f"{len(shown) - _MOST_ROWS} more rows in the report"))


def _cell(value: Any) -> str:
    from npusim.text import printable

    if value is None or (isinstance(value, float) and isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}"
    return printable(f"{value:,}" if isinstance(value, int) else str(value))
