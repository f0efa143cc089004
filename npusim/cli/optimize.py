"""``npusim optimize``: a search of a design space for what is best in several ways at once."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from npusim.cli.options import GuessOption, HwOption, JsonOption, ModelOptions, SetOption
from npusim.cli.progress import progress_bar
from npusim.cli.space import SpaceOptions
from npusim.cli.sweep import folder_of, write_explored
from npusim.cli.terminal import print_json
from npusim.jobs.commands import command_line
from npusim.limits import MOST_POINTS, MOST_SEED


class Sampler(StrEnum):
    """What chooses the next points."""

    NSGA2 = "nsga2"
    TPE = "tpe"


def optimize_command(
    hw: HwOption,
    explored: SpaceOptions,
    asked: ModelOptions,
    trials: Annotated[
        int, typer.Option(min=1, max=MOST_POINTS, metavar="N", help="Points to try, repeats included.")
    ] = 200,
    sampler: Annotated[Sampler, typer.Option(help="Evolution (NSGA-II), or tree-structured Parzen.")] = (
        Sampler.NSGA2
    ),
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="The same seed gives the same search.")] = 0,
    overrides: SetOption = None,
    allow_guess: GuessOption = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where it is kept.  [default: npusim-out/<workload>-<hw>-optimize-<hash>]"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Search a design space for its Pareto front; killed at any moment, the same command goes on."""
    began = time.perf_counter()
    where = explored.machines()
    space = explored.space(hw, overrides or (), asked, allow_guess)

    from npusim.explore.constraints import parse_constraints
    from npusim.explore.document import explored_document
    from npusim.explore.evaluate import is_bug
    from npusim.explore.optimize import optimize
    from npusim.explore.results import DEFAULT_OBJECTIVES

    aims = explored.objective or list(DEFAULT_OBJECTIVES)
    limits = parse_constraints(explored.constraint or ())
    how = [sampler.value, seed, aims, *([explored.constraint] if limits else [])]
    folder = out or folder_of(space, hw, "optimize", how)
    with progress_bar("searching", trials) as advance:
        found = optimize(
            space, trials, folder, sampler.value, seed, where, aims, advance, explored.retry_failed, limits
        )
    options = [
        ("--hw", hw), *space.model.options(), ("--set", overrides), *explored.given(),
        ("--trials", trials), ("--sampler", sampler.value), ("--seed", seed),
        ("--allow-guess", allow_guess),
    ]  # fmt: skip
    write_explored(space, found, folder, command_line("optimize", options))
    if as_json:
        print_json(explored_document(space, found, folder))
    else:
        from npusim.cli.explored_tables import print_explored

        print_explored(space, found, folder, time.perf_counter() - began)
    if not found.front.any() or any(map(is_bug, found.table["error"])):
        raise typer.Exit(1)
