"""``npusim optimize``: a search of a design space for what is best in several ways at once."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from npusim.cli.options import (
    BatchOption,
    ChunkOption,
    HwOption,
    LayersOption,
    ModelOption,
    PhaseOption,
    SetOption,
    ShapeOption,
    TokensOption,
    WorkloadOption,
    command_line,
    model_source,
)
from npusim.cli.progress import progress_bar
from npusim.cli.space import (
    MOST_POINTS,
    MOST_SEED,
    AxisOption,
    ClusterOption,
    GuessOption,
    ObjectiveOption,
    RetryOption,
    SpaceOption,
    WorkersOption,
    XambaAxisOption,
    machines,
    read_space,
)
from npusim.cli.sweep import folder_of, write_explored
from npusim.cli.terminal import print_json


class Sampler(StrEnum):
    """What chooses the next points."""

    NSGA2 = "nsga2"
    TPE = "tpe"


def optimize_command(
    hw: HwOption,
    axis: AxisOption = None,
    space_file: SpaceOption = None,
    xamba: XambaAxisOption = None,
    trials: Annotated[
        int, typer.Option(min=1, max=MOST_POINTS, metavar="N", help="Points to try, repeats included.")
    ] = 200,
    sampler: Annotated[Sampler, typer.Option(help="Evolution (NSGA-II), or tree-structured Parzen.")] = (
        Sampler.NSGA2
    ),
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="The same seed gives the same search.")] = 0,
    workload: WorkloadOption = None,
    model: ModelOption = None,
    shape: ShapeOption = None,
    phase: PhaseOption = None,
    layers: LayersOption = None,
    tokens: TokensOption = None,
    batch: BatchOption = None,
    chunk: ChunkOption = None,
    overrides: SetOption = None,
    objective: ObjectiveOption = None,
    allow_guess: GuessOption = False,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where it is kept.  [default: npusim-out/<workload>-<hw>-optimize-<hash>]"
        ),
    ] = None,
    retry_failed: RetryOption = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Search a design space for its Pareto front; killed at any moment, the same command goes on."""
    began = time.perf_counter()
    where = machines(workers, cluster)
    source = model_source(workload, model, shape, phase, layers, tokens, batch, chunk)
    given = {
        "workload": workload,
        "phase": phase,
        "layers": layers,
        "tokens": tokens,
        "batch": batch,
        "chunk": chunk,
    }
    space = read_space(hw, overrides or (), source, given, axis or (), space_file, xamba or (), allow_guess)

    from npusim.explore.document import explored_document
    from npusim.explore.evaluate import is_bug
    from npusim.explore.optimize import optimize
    from npusim.explore.results import DEFAULT_OBJECTIVES

    aims = objective or list(DEFAULT_OBJECTIVES)
    folder = out or folder_of(space, hw, "optimize", [sampler.value, seed, aims])
    with progress_bar("searching", trials) as advance:
        found = optimize(space, trials, folder, sampler.value, seed, where, aims, advance, retry_failed)
    options = [
        ("--hw", hw), *source.options(), ("--set", overrides), ("--axis", axis), ("--space", space_file),
        ("--xamba", xamba), ("--trials", trials), ("--sampler", sampler.value), ("--seed", seed),
        ("--objective", objective), ("--allow-guess", allow_guess), ("--no-retry-failed", not retry_failed),
    ]  # fmt: skip
    write_explored(space, found, folder, command_line("optimize", options))
    if as_json:
        print_json(explored_document(space, found, folder))
    else:
        from npusim.cli.explored_tables import print_explored

        print_explored(space, found, folder, time.perf_counter() - began)
    if any(map(is_bug, found.table["error"])):
        raise typer.Exit(1)
