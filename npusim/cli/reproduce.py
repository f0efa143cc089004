"""``npusim reproduce``: figures of papers, simulated in the setting that they were measured in."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from npusim.cli.options import JsonOption
from npusim.cli.progress import progress
from npusim.cli.terminal import print_json
from npusim.errors import UserError
from npusim.limits import MOST_WORKERS

reproduce_app = typer.Typer(help="Simulate the figures of a paper in its own setting.", rich_markup_mode=None)


@reproduce_app.callback()
def reproduce_root() -> None:
    """Simulate the figures of a paper in its own setting."""


@reproduce_app.command("xamba")
def reproduce_xamba(
    markdown: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.md",
            help="Write a page of the documentation: other assumptions, the vendor's schedules, tokens/s (minutes).",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_WORKERS, help="Processes, for --markdown.  [default: one a processor]"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """The speed-ups of XAMBA (arXiv 2502.06924) on Lunar Lake with the software of early 2025."""
    if workers and not markdown:
        raise UserError("--workers needs --markdown: the speed-ups alone take one process")
    from npusim.validation.paper.speedups import reproduce, reproduction_document

    with progress() as step:
        step("building the models")
        found = reproduce(step=step)
        if markdown:
            from npusim.files import new_file
            from npusim.validation.paper.page import xamba_page

            with new_file(markdown) as write:
                command = f"npusim reproduce xamba --markdown {shlex.quote(str(markdown))}"
                write(xamba_page(found, command, workers, step))
    if as_json:
        print_json(reproduction_document(found))
        return
    from npusim.cli.reproduce_tables import print_reproduction

    print_reproduction(found)
    if markdown:
        print(f"Wrote {markdown}")
