"""Options that say what is explored, and where: axes, the model and hardware they vary, machines and a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from npusim.errors import UserError
from npusim.files import read_text

if TYPE_CHECKING:
    from npusim.explore.space import Space
    from npusim.source import ModelSource
    from npusim.workers import Machines

#: Processes of one machine; points of one exploration, as `npusim.explore.axes` has it; a seed of 63 bits.
MOST_WORKERS, MOST_POINTS, MOST_SEED = 1024, 1_000_000, (1 << 63) - 1

AxisOption = Annotated[
    list[str] | None,
    typer.Option(
        "--axis",
        metavar="NAME=VALUES",
        help="What varies: 1,2,4 or START:STOP:COUNT[:log] of a hardware path, tokens, layers ...; may be repeated.",
    ),
]
SpaceOption = Annotated[
    Path | None,
    typer.Option("--space", metavar="FILE.yaml", help="Axes from a file: NAME to a list or a range."),
]
XambaAxisOption = Annotated[
    list[str] | None,
    typer.Option(
        "--xamba",
        metavar="none,cumba,a+b",
        help="An axis of rewrites: commas between points, + between rules of one; may be repeated.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, max=MOST_WORKERS, help="Local processes.  [default: one a processor]"),
]
ClusterOption = Annotated[
    str | None, typer.Option("--cluster", metavar="tcp://HOST:PORT", help="A Dask cluster instead.")
]
ObjectiveOption = Annotated[
    list[str] | None,
    typer.Option(
        "--objective",
        metavar="NAME",
        help="What should be low: latency, energy, area, or macs and cmx apart; may be repeated.  [default: all]",
    ),
]
RetryOption = Annotated[
    bool,
    typer.Option(
        "--retry-failed/--no-retry-failed",
        help="Try points again whose process died (of memory) in an earlier run.",
    ),
]
GuessOption = Annotated[
    bool, typer.Option("--allow-guess", help="Guess the cost of SHAVE kernels that none is known for.")
]


def read_space(
    hw: str,
    overrides: Sequence[str],
    model: ModelSource,
    given: Mapping[str, object],
    axes: Sequence[str],
    file: Path | None,
    xamba: Sequence[str],
    allow_guess: bool,
) -> Space:
    """The space that the options above ask for; ``given`` are the options that shape the model, None where not given.

    Raises UserError for every mistake in them, before anything is built.
    """
    from npusim.explore.axes import bind, parse_axis, parse_rewrites, read_axes
    from npusim.explore.space import Space
    from npusim.hardware import load_hardware

    hardware = load_hardware(hw, overrides)
    texts = [
        *(read_axes(read_text(file, label=f"--space {file}"), str(file)) if file else ()),
        *map(parse_axis, axes),
        *parse_rewrites(xamba),
    ]
    if not texts:
        raise UserError("no axis: say what varies, such as --axis tiles=1,2,4 (or --space FILE.yaml)")
    fixed = {name: f"--{name}" for name, value in given.items() if value is not None}
    fixed |= {text.partition("=")[0].strip(): f"--set {text}" for text in overrides}
    for text in texts:
        if text.name in fixed:
            raise UserError(f"{text.where} and {fixed[text.name]} contradict each other: leave one out")
    return Space(hardware, model, bind(texts, hardware, model), allow_guess=allow_guess)


def machines(workers: int | None, cluster: str | None) -> Machines:
    """Where points are evaluated. Raises UserError where both are given."""
    from npusim.cli.options import refuse_together
    from npusim.workers import Machines

    if cluster is not None:
        refuse_together("--cluster", {"--workers": workers})
    return Machines(workers or os.cpu_count() or 1, cluster)
