"""Options that say what is explored, and where: axes, the model and hardware they vary, machines and a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from npusim.cli.machines import machine_with_warnings
from npusim.cli.options import ModelOptions, refuse_together
from npusim.errors import UserError
from npusim.files import read_text
from npusim.limits import MOST_WORKERS

if TYPE_CHECKING:
    from npusim.explore.space import Space
    from npusim.workers import Machines


@dataclass(frozen=True, kw_only=True)
class SpaceOptions:
    """What varies, what should be low, and where the points are evaluated."""

    axis: Annotated[
        list[str] | None,
        typer.Option(
            "--axis",
            metavar="NAME=VALUES",
            help="What varies: 1,2,4 or START:STOP:COUNT[:log] of a hardware path, tokens, layers, dim.NAME ...; may "
            "be repeated.",
        ),
    ] = None
    file: Annotated[
        Path | None,
        typer.Option("--space", metavar="FILE.yaml", help="Axes from a file: NAME to a list or a range."),
    ] = None
    xamba: Annotated[
        list[str] | None,
        typer.Option(
            "--xamba",
            metavar="none,cumba,a+b",
            help="An axis of rewrites: commas between points, + between rules of one; may be repeated.",
        ),
    ] = None
    objective: Annotated[
        list[str] | None,
        typer.Option(
            "--objective",
            metavar="NAME",
            help="What should be low: latency, energy, area, or macs and cmx apart; may be repeated.  "
            "[default: all]",
        ),
    ] = None
    constraint: Annotated[
        list[str] | None,
        typer.Option(
            "--constraint",
            metavar="NAME<NUMBER",
            help="What a design must keep, such as latency_us<5000: latency, energy, macs, cmx; may be repeated.",
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, max=MOST_WORKERS, help="Local processes.  [default: one a processor]"
        ),
    ] = None
    cluster: Annotated[
        str | None, typer.Option("--cluster", metavar="tcp://HOST:PORT", help="A Dask cluster instead.")
    ] = None
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed/--no-retry-failed",
            help="Try points again whose process died (of memory) in an earlier run.",
        ),
    ] = True

    def given(self) -> list[tuple[str, object]]:
        """The options that say what is explored, as a command line has them."""
        return [
            ("--axis", self.axis), ("--space", self.file), ("--xamba", self.xamba), ("--objective", self.objective),
            ("--constraint", self.constraint),
            ("--no-retry-failed", not self.retry_failed),
        ]  # fmt: skip

    def machines(self) -> Machines:
        """Where points are evaluated. Raises UserError where both are given."""
        from npusim.workers import Machines

        if self.cluster is not None:
            refuse_together("--cluster", {"--workers": self.workers})
        return Machines(self.workers or os.cpu_count() or 1, self.cluster)

    def space(self, hw: str, overrides: Sequence[str], model: ModelOptions, allow_guess: bool) -> Space:
        """The space that is asked for. Raises UserError for every mistake, before anything is built."""
        from npusim.explore.axes import bind, parse_axis, parse_rewrites, read_axes
        from npusim.explore.space import Space

        source, file = model.source(), self.file
        hardware = machine_with_warnings(hw, overrides).hardware
        texts = [
            *(read_axes(read_text(file, label=f"--space {file}"), str(file)) if file else ()),
            *map(parse_axis, self.axis or ()),
            *parse_rewrites(self.xamba or ()),
        ]
        if not texts:
            raise UserError("no axis: say what varies, such as --axis tiles=1,2,4 (or --space FILE.yaml)")
        fixed = {name.removeprefix("--"): name for name, value in model.given().items() if value is not None}
        fixed |= {text.partition("=")[0].strip(): f"--set {text}" for text in overrides}
        return Space(hardware, source, bind(texts, hardware, source, fixed), allow_guess=allow_guess)
