"""``npusim compare-trace``: a simulation beside a profile of the real thing, op by op."""

from __future__ import annotations

from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from npusim.cli.options import JsonOption
from npusim.cli.progress import progress
from npusim.cli.terminal import console, print_json
from npusim.errors import UserError

if TYPE_CHECKING:
    from npusim.validation.traces.compare import Comparison, Half, Pair

_MOST_TYPE = 16


class By(StrEnum):
    """What is compared of every op."""

    EXPOSED = "exposed"
    SPAN = "span"


def compare_trace_command(
    left: Annotated[Path, typer.Argument(metavar="SIM.json", help="npusim's trace.json or run.json.")],
    right: Annotated[
        Path, typer.Argument(metavar="REAL.json", help="What it is compared with: a profile of any kind.")
    ],
    by: Annotated[
        By | None,
        typer.Option(
            help="Share of the latency, or time from first start to last end.  [default: exposed if told]"
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=0, help="Rows to show; 0 shows all.")] = 20,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="OUT.csv", help="Write all rows here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two profiles op by op, largest residuals first.

    Either may be npusim's trace.json or run.json, a trace of Intel's compiler or profiler, a file of npusim measure,
    a counter report of benchmark_app (JSON or CSV), a JSON list of ProfilingInfo, or what NPU_PRINT_PROFILING=TEXT
    prints.
    """
    from npusim.files import new_file
    from npusim.validation.traces.compare import compare_profiles
    from npusim.validation.traces.document import comparison_csv, comparison_document
    from npusim.validation.traces.profile import read_profile

    with progress() as step, new_file(csv) if csv else nullcontext() as write:
        step("reading the profiles")
        profiles = read_profile(left), read_profile(right)
        for profile in profiles:
            if by == By.EXPOSED and not profile.has_exposed:
                raise UserError(
                    f"--by exposed: {profile.label} ({profile.format}) does not tell it; use --by span"
                )
        step("comparing")
        found = compare_profiles(*profiles, measure=by.value if by else None)
        if not found.matched:
            raise UserError(f"no op of {left} is in {right}: are they of one model?")
        if write:
            write(comparison_csv(found))
    if as_json:
        print_json(comparison_document(found))
        return
    _print(found, top)
    if csv:
        print(f"Wrote {csv}")


def _print(found: Comparison, top: int) -> None:
    from npusim.cli.tables import WHOLE, Column, fitted, width_of_output
    from npusim.text import printable

    screen = console(width=width_of_output(WHOLE))
    for side, profile in (("left ", found.left), ("right", found.right)):
        latency = "" if profile.latency_us is None else f", {profile.latency_us:,.1f} µs"
        about = f"{printable(profile.label)}: {profile.format}, {len(profile.ops)} ops{latency}"
        screen.print(f"{side}  {about}")
    what = "share of the latency" if found.measure == "exposed" else "first start to last end"
    rows = found.pairs[: top or None]
    columns = (
        Column("op"), Column("type", rank=1, most=_MOST_TYPE), Column("shape", rank=3, folds=True),
        Column("left", "right"), Column("right", "right"), Column("delta", "right"), Column("left/right", "right", 2),
        Column("left on", rank=4, most=_MOST_TYPE), Column("right on", rank=4, most=_MOST_TYPE),
    )  # fmt: skip
    title = f"{what} of every op, µs; {len(rows)} of {len(found.pairs)} rows, largest residuals first"
    screen.print(fitted(columns, [_row(pair) for pair in rows], screen.width, title))
    ours, theirs = found.matched_us
    ratio = f" ({ours / theirs:.3f} of it)" if theirs else ""
    alone = [sum(getattr(pair, other) is None for pair in found.pairs) for other in ("right", "left")]
    screen.print(
        f"{len(found.matched)} rows on both sides: left {ours:,.1f} µs, right {theirs:,.1f} µs{ratio}; "
        f"{alone[0]} on the left alone, {alone[1]} on the right alone"
    )
    for profile in (found.left, found.right):
        for note in profile.notes:
            screen.print(f"note: {printable(profile.label)}: {printable(note)}")


def _row(pair: Pair) -> tuple[str, ...]:
    left, right = pair.left, pair.right
    shape = next((half.shape for half in (left, right) if half and half.shape), "")
    ratio = f"{left.us / right.us:.2f}" if left and right and right.us > 0 else ""
    engines = (half.engine if half else "" for half in (left, right))
    return (pair.name, pair.type, shape, _us(left), _us(right), f"{pair.delta_us:+,.1f}", ratio, *engines)


def _us(half: Half | None) -> str:
    return f"{half.us:,.1f}" if half else "-"
