"""``npusim verify``: whether two models compute the same.

Exit codes: 0 they agree within the tolerance, 1 they do not (as cmp and diff do), 2 the user's mistake.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from npusim.cli.options import JsonOption, parse_shapes
from npusim.cli.progress import progress
from npusim.cli.terminal import print_json
from npusim.errors import UserError
from npusim.limits import MOST_SEED

if TYPE_CHECKING:
    from npusim.xamba.check import Difference

#: As in xamba.check, which would import numpy and OpenVINO.
TOLERANCE = 1e-3


def verify_command(
    a: Annotated[Path, typer.Argument(metavar="A.xml", help="The model that is right.")],
    b: Annotated[Path, typer.Argument(metavar="B.xml", help="The model that is compared with it.")],
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="Largest relative error of an output that still is agreement.")
    ] = TOLERANCE,
    shape: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=[1,256]", help="Static shape of an input of both; may be repeated."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Of the random inputs.")] = 0,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Where the models' weights come from, if they are trained ones: it labels the figures.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run two models on random and edge inputs on the CPU in FP32 and say how far apart their outputs are.

    Exit code 1 if they differ by more than the tolerance. The relative error of an output is its largest absolute
    error over its largest magnitude (in any case, where it should be zero throughout).
    """
    shapes = parse_shapes(shape or ())
    with progress() as step:
        step("reading the models")
        from npusim.graph import read_model
        from npusim.xamba import CannotRun, ModelsDiffer
        from npusim.xamba.check import compare, worst

        (first, notes), (second, more) = (read_model(path, shapes) for path in (a, b))
        step("comparing")
        try:
            found = compare(first, second, seed=seed)
        except CannotRun as error:
            raise UserError(f"{a} (A) and {b} (B) cannot be compared: {error}") from None
        except ModelsDiffer as error:
            raise UserError(f"{a} (A) and {b} (B): {error}") from None
    overall = worst(found)
    agree = all(d.relative <= tolerance for d in overall)
    if as_json:
        document = {
            "schema": "npusim.verify/1",
            "a": str(a),
            "b": str(b),
            "agree": agree,
            "tolerance": tolerance,
            "weights": weights or "random",
            "outputs": [_figures(d) for d in overall],
            "cases": [_figures(d) for d in found],
            "notes": [*notes, *more],
        }
        print_json(document)
    else:
        _print(overall, len({d.case for d in found}), weights)
        for note in (*notes, *more):
            print(f"note: {note}")
        print(f"{'agree' if agree else 'DIFFER'}: relative error within {tolerance:g} is asked for")
    if not agree:
        raise typer.Exit(1)


def _figures(difference: Difference) -> dict[str, Any]:
    """For JSON, which has no infinity: null, with ``finite`` false."""
    values = asdict(difference)
    odd = [key for key, value in values.items() if isinstance(value, float) and not math.isfinite(value)]
    return {**values, **dict.fromkeys(odd), "finite": not odd}


def _print(overall: list[Difference], cases: int, weights: str | None) -> None:
    print(f"worst of {cases} cases, random and edge inputs, CPU in FP32")
    width = max([len(d.output) for d in overall] + [6])
    print(f"{'output':<{width}}  {'max abs':>9}  {'relative':>9}  {'cosine':>12}  worst case")
    for d in overall:
        cosine = "-" if d.cosine is None else f"{d.cosine:.9f}"
        print(f"{d.output:<{width}}  {d.max_abs:9.2e}  {d.relative:9.2e}  {cosine:>12}  {d.case}")
    label = f"weights: {weights}" if weights else "of random weights, which says little of a trained model"
    if any(d.relative > 0 for d in overall) and all(d.kl is None for d in overall):
        print(f"the differences are told by the numbers in the files ({label})")
    for d in overall:
        if d.kl is not None and d.top1 is not None:
            print(
                f"{d.output}: KL divergence {d.kl:.2e} nats, top-1 agreement {100 * d.top1:.1f} % ({label})"
            )
