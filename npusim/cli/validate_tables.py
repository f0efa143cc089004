"""What ``npusim validate`` shows on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from npusim.api import Result
from npusim.cli.tables import WHOLE, Column, fitted, width_of_output
from npusim.cli.terminal import console
from npusim.program import ENGINES
from npusim.text import printable
from npusim.validation.schedules.compare_case import OpPair, Side
from npusim.validation.schedules.predict import Prediction
from npusim.validation.schedules.references import Row
from npusim.validation.schedules.scores import (
    Score,
    by_set,
    over_tiles,
    pairs,
    same_order,
    table,
    table_of_sets,
    worst,
)

_WORST = 10
_MESSAGES = 10
_CASE = (
    Column("op"), Column("type", rank=3, most=16), Column(""), Column("engines", rank=5), Column("tasks", "right", 4),
    Column("DMA", "right", 2), Column("DPU", "right", 2), Column("SHAVE", "right", 2), Column("start", "right"),
    Column("end", "right"), Column("path", "right", 1), Column("gap", "right"),
)  # fmt: skip


def print_validation(reference: str, predictions: Sequence[Prediction], wall_s: float) -> None:
    """Scores, speed-ups over tiles, the worst cases, and what went wrong."""
    screen = console(width=width_of_output(WHOLE))
    totals = pairs(predictions, "total_us")
    screen.print(
        f"{len(predictions)} rows of {printable(reference)}, predicted in {wall_s:.1f} s", soft_wrap=True
    )
    if totals:
        screen.print()
        screen.print(_scores(predictions, screen.width))
        if over_tiles(totals):
            screen.print()
            screen.print(_tiles(predictions, screen.width))
        screen.print()
        screen.print(_worst(predictions, screen.width))
    else:
        screen.print("The index has no total_us to compare with.")
    _print_mishaps(screen, predictions)


def _scores(predictions: Sequence[Prediction], width: int) -> Table:
    several = len(by_set(predictions)) > 1
    ranks = {
        "rows": 2,
        "median": 0,
        "p90": 1,
        "worst": 1,
        "rank r": 3,
        "missing": 5,
        "DPU": 4,
        "SHAVE": 4,
        "DMA": 4,
    }
    columns = (
        Column("set" if several else "family"), Column("platform"),
        *(Column(name, "right", rank) for name, rank in ranks.items()),
    )  # fmt: skip
    groups = table_of_sets(predictions) if several else table(predictions)
    rows = []
    for group in groups:
        score = group.scores["total_us"]
        work = [group.scores[f"sum_{engine}_us"] for engine in ("dpu", "shave", "dma")]
        figures = ("",) * 6 if score is None else (
            str(score.rows), f"{score.median:.1%}", f"{score.p90:.1%}", f"{score.worst:.1%}", f"{score.rank:.3f}",
            str(score.missing or ""),
        )  # fmt: skip
        rows.append((group.set if several else group.family, group.platform, *figures, *map(_median, work)))
    totals = [number for number, group in enumerate(groups) if group.set == "all"]
    title = "error of the latency (total_us), and median error of the engines' work (sum_*)"
    return fitted(columns, rows, width, title, totals)


def _median(score: Score | None) -> str:
    return "" if score is None else f"{score.median:.1%}"


def _tiles(predictions: Sequence[Prediction], width: int) -> Table:
    pairs_of_tiles = over_tiles(pairs(predictions, "total_us"))
    counts = sorted({one.row.tiles for one in pairs_of_tiles})
    columns = (
        Column("case"), Column("platform", rank=1), *(Column(f"{count} tiles", "right") for count in counts),
        Column("order", rank=2),
    )  # fmt: skip
    rows = []
    for (case, platform), same in same_order(pairs_of_tiles).items():
        mine = {
            one.row.tiles: one
            for one in pairs_of_tiles
            if (one.row.case, one.row.platform) == (case, platform)
        }
        cells = [
            f"{mine[n].predicted:.2f} {mine[n].truth:.2f} {mine[n].error:>6.1%}" if n in mine else ""
            for n in counts
        ]
        rows.append((case, platform, *cells, "same" if same else "differs"))
    title = "speed-up over the usual number of tiles: predicted, reference and error"
    return fitted(columns, rows, width, title)


def _worst(predictions: Sequence[Prediction], width: int) -> Table:
    columns = (
        Column("case"), Column("platform", rank=1), Column("tiles", rank=1), Column("reference µs", "right"),
        Column("predicted µs", "right"), Column("error", "right"),
    )  # fmt: skip
    rows = [
        (
            pair.row.case, pair.row.platform, str(pair.row.tiles), f"{pair.truth:,.1f}", f"{pair.predicted:,.1f}",
            f"{pair.error:.1%}",
        )
        for pair in worst(pairs(predictions, "total_us"), _WORST)
    ]  # fmt: skip
    return fitted(columns, rows, width, "worst cases")


def _print_mishaps(screen: Console, predictions: Sequence[Prediction]) -> None:
    failed = [one for one in predictions if one.error]
    messages: dict[str, list[Prediction]] = {}
    for one in failed:
        messages.setdefault(one.error, []).append(one)
    if failed:
        screen.print(Text(f"{len(failed)} rows failed and have no prediction:", "yellow"))
    for message, those in list(messages.items())[:_MESSAGES]:
        more = f" and {len(those) - 1} more" if len(those) > 1 else ""
        screen.print(
            Text(f"  {printable(those[0].row.label)}{more}: {printable(message)}", "yellow"), soft_wrap=True
        )
    if len(messages) > _MESSAGES:
        screen.print(Text(f"  and {len(messages) - _MESSAGES} other messages (--json has all)", "yellow"))
    guessed = [one for one in predictions if one.guessed]
    if guessed:
        kernels = ", ".join(sorted({kernel for one in guessed for kernel in one.guessed}))
        screen.print(
            Text(f"{len(guessed)} rows run kernels whose cost is a guess: {printable(kernels)}", "yellow")
        )


def print_case(
    row: Row, found: Sequence[OpPair], ours: Result, vendor: Result, others: Sequence[Row]
) -> None:
    """One case op by op: a line for the vendor's side of every op, a line for ours."""
    screen = console(width=width_of_output(WHOLE))
    screen.print(Text(printable(row.label), "bold"))
    screen.print(
        "Busy times are unions over an op's tasks; the path is its time on the critical path, whose gaps add up to the "
        "gap of the latency. All in µs.",
        soft_wrap=True,
    )
    lines: list[tuple[str | Text, ...]] = []
    for pair in found:
        lines.append((pair.name, pair.type, "vendor", *_side(pair.vendor), ""))
        lines.append(("", "", Text("npusim", "cyan"), *_side(pair.ours), f"{pair.gap_us:+.1f}"))
    screen.print(fitted(_CASE, lines, screen.width))
    for name, result in (("vendor", vendor), ("npusim", ours)):
        tasks = ", ".join(f"{count:,} {engine.upper()}" for engine, count in result.metrics.tasks.items())
        busy = ", ".join(
            f"{engine.upper()} {result.metrics.statistics.get(f'{engine}_us', 0):.1f}" for engine in ENGINES
        )
        screen.print(f"{name}  {result.latency_us:,.1f} µs  tasks {tasks}  busy {busy}", soft_wrap=True)
    screen.print(f"error {abs(ours.latency_us - vendor.latency_us) / (vendor.latency_us or 1.0):.1%}")
    if others:
        choices = ", ".join(f"--platform {other.platform} --tiles {other.tiles}" for other in others)
        screen.print(f"also: {printable(choices)}", soft_wrap=True)


def _side(side: Side | None) -> tuple[str, ...]:
    if side is None:
        return ("-", *[""] * 7)
    busy = [f"{side.busy_us[engine]:.1f}" if side.tasks[engine] else "" for engine in ENGINES]
    times = (f"{side.start_us:.1f}", f"{side.end_us:.1f}", f"{side.exposed_us:.1f}")
    return (side.engines.upper(), str(sum(side.tasks.values())), *busy, *times)
