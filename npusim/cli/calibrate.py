"""``npusim calibrate``: fit values of a hardware file to measurements, and write an overlay that says how well."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from npusim.cli.options import HwOption, JsonOption, SetOption
from npusim.cli.progress import progress
from npusim.cli.terminal import console, print_json
from npusim.errors import UserError
from npusim.jobs.commands import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from npusim.validation.calibrate.bench import Case
    from npusim.validation.calibrate.fit import Calibration, CaseFit
    from npusim.validation.calibrate.identify import ParameterFit

#: Above this a fitted file would be a worse guess than that every row takes as long as the median one.
_MOST_UNEXPLAINED = 0.5


class Loss(StrEnum):
    """How much large residuals count."""

    LINEAR = "linear"
    SOFT_L1 = "soft_l1"
    CAUCHY = "cauchy"


def calibrate_command(
    hw: HwOption,
    against: Annotated[
        list[str],
        typer.Option(
            "--against",
            metavar="FILE",
            help="silicon (the published rows), a file of npusim measure, or a benchmark_report; repeat.",
        ),
    ],
    free: Annotated[
        list[str],
        typer.Option(
            "--free",
            metavar="PATH=LOW:HIGH",
            help="A value to fit, within bounds; PATH,PATH share one; repeat.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="OUT.yaml", help="Where to write the overlay.")
    ] = None,
    grade: Annotated[
        str, typer.Option(metavar="LIST", help="Of the published rows, those of these grades.")
    ] = "A",
    only: Annotated[
        str | None, typer.Option(metavar="LIST", help="Fit to the rows of these models alone.")
    ] = None,
    overrides: SetOption = None,
    loss: Annotated[Loss, typer.Option(help="How much residuals above 10 % count.")] = Loss.LINEAR,
    leave_out: Annotated[
        bool, typer.Option("--leave-out/--no-leave-out", help="Predict every model from the others, too.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Fit values of a hardware file to measurements.

    Writes a hardware file that extends the one that was fitted, and says in it what is left unexplained row by row, how
    well models are predicted that the fit has not seen, and which values the rows can tell at all.
    """
    from npusim.validation.calibrate.parameters import Space, parse_free

    parameters = parse_free(free)
    if out is None and not as_json:
        raise UserError("where to? give -o OUT.yaml, or --json to print the outcome")
    if out is not None and out.suffix not in (".yaml", ".yml"):
        raise UserError(f"-o {out}: must end in .yaml")
    if overrides and out is not None:
        raise UserError(
            "--set is not written to an overlay: put it into a hardware file of your own, and fit that"
        )
    command = command_line(
        "calibrate",
        [
            ("--hw", hw), ("--against", against), ("--free", free), ("--set", overrides),
            ("--grade", None if grade == "A" else grade), ("--only", only),
            ("--loss", None if loss == Loss.LINEAR else loss.value), ("--no-leave-out", not leave_out),
            ("-o", out), ("--json", out is None),
        ],
    )  # fmt: skip
    with progress() as step:
        step("reading")
        from npusim.files import new_file
        from npusim.validation.calibrate.cases import cases_of
        from npusim.validation.calibrate.fit import calibrate
        from npusim.validation.calibrate.overlay import calibration_document, overlay_text

        space = Space(hw, parameters, overrides or ())
        grades = [name.strip() for name in grade.split(",")]
        cases, notes = cases_of(against, hw, grades)
        if only is not None:
            cases = _only(cases, [name.strip() for name in only.split(",")])
        found = calibrate(space, cases, loss.value, leave_out, step)
        _refuse_nonsense(found)
        if out is not None:
            with new_file(out) as write:
                write(overlay_text(found, out, command))
    if as_json:
        document = {**calibration_document(found, command), "notes": notes}
        print_json(document)
        return
    _print(found)
    for note in notes:
        print(f"note: {note}")
    print(f"Wrote {out}")


def _refuse_nonsense(found: Calibration) -> None:
    """Raises UserError for a fit that describes nothing."""
    left = found.median("fitted_us")
    if not left <= _MOST_UNEXPLAINED:
        raise UserError(
            f"the fit leaves {left:.0%} of a median row unexplained: what was measured is not what is simulated "
            "(another unit, device or model), or no value within the bounds of --free explains it"
        )


def _only(cases: list[Case], models: list[str]) -> list[Case]:
    """The cases of some models. Raises UserError for a model that has none."""
    there = dict.fromkeys(case.model for case in cases)
    for name in models:
        if name not in there:
            raise UserError(f"--only: no row is of '{name}'; there are {', '.join(there)}")
    return [case for case in cases if case.model in models]


def _print(found: Calibration) -> None:
    from npusim.cli.tables import WHOLE, width_of_output
    from npusim.validation.calibrate.overlay import summary

    screen = console(width=width_of_output(WHOLE))
    screen.print(summary(found))
    screen.print(_rows(found.cases, screen.width))
    screen.print(_values(found.parameters, screen.width))


def _rows(cases: Sequence[CaseFit], width: int) -> Table:
    from npusim.cli.tables import Column, fitted

    columns = (
        Column("row", folds=True), Column("measured µs", "right"),
        *(Column(name, "right") for name in ("before", "fitted", "left out")),
    )  # fmt: skip
    rows = []
    for one in cases:
        predicted = (one.base_us, one.fitted_us, one.left_out_us)
        errors = ("" if us is None else f"{one.error(us):+.1%}" for us in predicted)
        rows.append((one.case.label, f"{one.case.measured_us:,.1f}", *errors))
    return fitted(columns, rows, width)


def _values(parameters: Sequence[ParameterFit], width: int) -> Table:
    from npusim.cli.tables import Column, fitted

    columns = (
        Column("parameter", folds=True), Column("was", "right"), Column("fitted", "right"),
        Column("95 % interval", "right"), Column("", folds=True),
    )  # fmt: skip
    rows = []
    for one in parameters:
        interval = "unknown" if one.interval is None else f"{one.interval[0]:g} to {one.interval[1]:g}"
        tied = f"; tied to {', '.join(one.tied_to)}" if one.tied_to else ""
        rows.append((one.path, f"{one.base:g}", f"{one.value:g}", interval, f"{one.verdict}{tied}"))
    return fitted(columns, rows, width)
