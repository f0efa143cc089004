"""``npusim sweep``: every point of a design space, simulated once and kept, and which of them are best."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from npusim.cli.folders import default_folder, point_latest
from npusim.cli.options import GuessOption, HwOption, JsonOption, ModelOptions, SetOption
from npusim.cli.progress import progress_bar
from npusim.cli.space import SpaceOptions
from npusim.cli.terminal import print_json
from npusim.errors import UserError
from npusim.jobs.commands import command_line
from npusim.limits import MOST_POINTS, MOST_SEED

if TYPE_CHECKING:
    from npusim.explore.results import Explored
    from npusim.explore.space import Space


def sweep_command(
    hw: HwOption,
    explored: SpaceOptions,
    asked: ModelOptions,
    overrides: SetOption = None,
    lhs: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_POINTS, metavar="N", help="N points by Latin hypercube instead of the full grid."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=MOST_SEED, help="Seed of --lhs.  [default: 0]")
    ] = None,
    allow_guess: GuessOption = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where results are kept.  [default: npusim-out/<workload>-<hw>-sweep-<hash>]"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate every point of a design space; killed at any moment, the same command goes on."""
    began = time.perf_counter()
    if seed is not None and lhs is None:
        raise UserError("--seed needs --lhs: a full grid has nothing to draw")
    where = explored.machines()
    space = explored.space(hw, overrides or (), asked, allow_guess)

    from npusim.explore.constraints import parse_constraints
    from npusim.explore.document import explored_document
    from npusim.explore.evaluate import is_bug
    from npusim.explore.results import DEFAULT_OBJECTIVES
    from npusim.explore.space import grid, latin_hypercube
    from npusim.explore.sweep import sweep

    points = grid(space.axes) if lhs is None else latin_hypercube(space.axes, lhs, seed or 0)
    folder = out or folder_of(space, hw, "sweep")
    limits = parse_constraints(explored.constraint or ())
    aims = explored.objective or DEFAULT_OBJECTIVES
    with progress_bar("sweeping", len(points)) as advance:
        found = sweep(space, points, folder, where, aims, advance, explored.retry_failed, limits)
    options = [
        ("--hw", hw), *space.model.options(), ("--set", overrides), *explored.given(),
        ("--lhs", lhs), ("--seed", seed), ("--allow-guess", allow_guess),
    ]  # fmt: skip
    write_explored(space, found, folder, command_line("sweep", options))
    if as_json:
        print_json(explored_document(space, found, folder))
    else:
        from npusim.cli.explored_tables import print_explored

        print_explored(space, found, folder, time.perf_counter() - began)
    if not found.front.any() or any(map(is_bug, found.table["error"])):
        raise typer.Exit(1)


def write_explored(space: Space, found: Explored, folder: Path, command: str) -> None:
    """report.html beside the results of a sweep or a search."""
    from npusim.report.explore_page import explore_page
    from npusim.report.write import write_page

    title = f"{space.model.name}: {len(found.table):,} points"
    write_page(folder, explore_page(found, title, f"around {space.hardware.name}", command))
    point_latest(folder)


def folder_of(space: Space, hw: str, what: str, how: Sequence[object] = ()) -> Path:
    """A folder of its own for every space (and search of it, ``how``), so that the same command goes on there and
    another one does not collide."""
    from npusim.explore.space import digest

    return default_folder(space.model.name, hw, what, digest([space.identity(), *how])[:8])
