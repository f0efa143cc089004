"""What ``npusim validate --against silicon`` shows on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from npusim.cli.tables import WHOLE, Column, fitted, width_of_output
from npusim.cli.terminal import console
from npusim.validation.silicon.groups import grouped, machine_of, p90_error
from npusim.validation.silicon.left_out import carried_calibrations, left_out
from npusim.validation.silicon.llm import METRICS, Heard, lengths, median_of, of_metric, worst_of
from npusim.validation.silicon.scores import (
    Bottleneck,
    Ratio,
    Scored,
    median_error,
    platform_speedups,
    precision_speedups,
    rank,
    size_steps,
    vendor_median_error,
)

_COMPARED = (Column("measured", "right"), Column("npusim", "right"), Column("error", "right"))


def print_silicon(
    against: str, found: Sequence[Scored], engines: Sequence[Bottleneck], spoken: Sequence[Heard] = ()
) -> None:
    """Every row, medians, speed-ups, and the engines that limit operators."""
    screen = console(width=width_of_output(WHOLE), soft_wrap=True)
    screen.print(f"{len(found)} measured rows ({against}); times in µs, an inference\n")
    screen.print(_rows(found))
    scored = [one for one in found if one.row.use == "score"]
    trend = [one for one in found if one.row.use == "trend"]
    if scored:
        with_vendor = [one for one in scored if one.vendor_us is not None]
        screen.print(f"\nmedian error over {len(scored)} scored rows: {median_error(scored):.1%}")
        screen.print(f"nine of ten are within {p90_error(scored):.1%}")
        alone = left_out(scored, carried_calibrations())
        screen.print(
            f"by values fitted without the row's model: median {median_error(alone):.1%}, nine of ten within "
            f"{p90_error(alone):.1%}"
        )
        both = zip(grouped(scored, machine_of), grouped(alone, machine_of), strict=True)
        for (name, count, middle, ninth), (*_, apart, farthest) in both:
            screen.print(
                f"  {name}: {count} rows, median {middle:.1%}, nine of ten within {ninth:.1%}; without the model "
                f"{apart:.1%} and {farthest:.1%}"
            )
        if with_vendor:
            screen.print(
                f"over the {len(with_vendor)} rows that the vendor's estimate has: npusim "
                f"{median_error(with_vendor):.1%}, vendor {vendor_median_error(with_vendor):.1%}"
            )
        ratios = [*precision_speedups(scored), *platform_speedups(scored)]
        if ratios:
            screen.print()
            screen.print(_ratios("speed-up", ratios))
    steps = size_steps(found)
    if steps:
        screen.print()
        screen.print(_ratios("ms that a larger network takes more", steps))
    if trend:
        screen.print(f"\nrank correlation over {len(trend)} rows of operators: {rank(trend):.3f}")
    if engines:
        right = sum(one.right for one in engines)
        screen.print(f"engine that limits an operator: right for {right} of {len(engines)}\n")
        screen.print(_engines(engines))
    if spoken:
        screen.print()
        print_spoken(spoken)


def print_spoken(spoken: Sequence[Heard]) -> None:
    """Language models: every row, medians and worst with the model left out of the fit, and ratios."""
    screen = console(width=width_of_output(WHOLE), soft_wrap=True)
    screen.print(f"{len(spoken)} rows of language models; times in ms, as OpenVINO's pipeline runs them\n")
    screen.print(_spoken(spoken))
    for metric in METRICS:
        mine = of_metric(spoken, metric)
        error, without = (
            median_of([getattr(one, name) for one in mine]) for name in ("error", "left_out_error")
        )
        worst = worst_of([one.left_out_error for one in mine])
        screen.print(
            f"median error of {len(mine)} {metric}: {error:.1%}; with the model left out of the fit {without:.1%}, at "
            f"most {worst:.1%}"
        )
    ratios = lengths(spoken)
    if ratios:
        rows = [
            (what, f"{measured:.2f}", f"{predicted:.2f}", f"{predicted / measured - 1:+.0%}")
            for what, measured, predicted in ratios
        ]
        screen.print()
        screen.print(_table((Column("ratio"), *_COMPARED), rows))


def _table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Table:
    return fitted(columns, rows, width_of_output(WHOLE))


def _rows(found: Sequence[Scored]) -> Table:
    columns = (
        Column("model"), Column("platform", rank=3), Column("type", rank=2), Column("metric", rank=4),
        Column("grade", rank=5), Column("use", rank=6), Column("machine, OpenVINO", rank=7), *_COMPARED,
        Column("vendor", "right", 1), Column("error", "right", 1),
    )  # fmt: skip
    rows = []
    for one in found:
        row = one.row
        tokens = f" {row.tokens}" if row.use == "trend" else ""
        vendor = ("", "") if one.vendor_us is None else (f"{one.vendor_us:,.0f}", f"{one.vendor_error:+.0%}")
        rows.append((
            f"{row.workload or row.model}{tokens}", row.platform, row.precision, row.metric, row.grade, row.use,
            ", ".join(filter(None, (row.device, row.openvino))), f"{row.measured_us:,.0f}",
            f"{one.predicted_us:,.0f}", f"{one.error:+.0%}", *vendor,
        ))  # fmt: skip
    return _table(columns, rows)


def _spoken(found: Sequence[Heard]) -> Table:
    columns = (
        Column("model"), Column("weights", rank=1), Column("machine, OpenVINO", rank=5), Column("metric", rank=2),
        Column("grade", rank=3), Column("use", rank=4), *_COMPARED, Column("left out", "right", 1),
    )  # fmt: skip
    rows = []
    for one in found:
        row = one.row
        left_out = "" if one.left_out_ms != one.left_out_ms else f"{one.left_out_error:+.0%}"
        rows.append((
            row.model, row.weights, f"{row.device}, {row.openvino}", row.metric, row.grade, row.use,
            f"{row.measured_ms:,.1f}", f"{one.predicted_ms:,.1f}", f"{one.error:+.0%}", left_out,
        ))  # fmt: skip
    return _table(columns, rows)


def _ratios(what: str, ratios: Sequence[Ratio]) -> Table:
    return _table(
        (Column(what), *_COMPARED),
        [(one.what, f"{one.measured:.2f}", f"{one.predicted:.2f}", f"{one.error:+.0%}") for one in ratios],
    )


def _engines(engines: Sequence[Bottleneck]) -> Table:
    shares = [Column(f"{name} %", "right", rank) for rank in (2, 1) for name in ("DPU", "DMA", "SHAVE")]
    rows = [
        (
            f"{one.shares.workload} {one.shares.tokens}", one.shares.bottleneck, one.predicted,
            *(f"{value:.0f}" for value in (one.shares.dpu, one.shares.dma, one.shares.shave)),
            *(f"{one.predicted_shares[name]:.0f}" for name in ("dpu", "dma", "shave")),
        )
        for one in engines
    ]  # fmt: skip
    return _table((Column("operator"), Column("measured"), Column("npusim"), *shares), rows)
