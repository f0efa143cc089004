"""Errors by machine and by kind of model, rows that others contradict, and what bands cover: sections of the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from npusim.validation.schedules.page import markdown_table
from npusim.validation.silicon.intervals import Residual, coverage
from npusim.validation.silicon.scores import Scored, median_error

_NINTH = 0.9


def p90_error(found: Sequence[Scored]) -> float:
    """The absolute error that nine of ten rows do not exceed; nan of none."""
    return float(np.quantile([abs(one.error) for one in found], _NINTH)) if found else float("nan")


def grouped(found: Sequence[Scored], by: Callable[[Scored], str]) -> list[tuple[str, int, float, float]]:
    """Name, rows, median and 90th percentile of the absolute error of every group, by name."""
    groups: dict[str, list[Scored]] = {}
    for one in found:
        groups.setdefault(by(one), []).append(one)
    return [(name, len(rows), median_error(rows), p90_error(rows)) for name, rows in sorted(groups.items())]


def machine_of(one: Scored) -> str:
    """The machine of a row."""
    return one.row.device


def kind_of(one: Scored) -> str:
    """What sort of model a row is of, and who asked."""
    return f"{one.row.kind}, {one.row.client}"


def group_sections(scored: Sequence[Scored], left_out: Sequence[Scored]) -> list[str]:
    """The tables by machine and by kind; ``left_out`` are the same rows, predicted without their model."""
    if not scored:
        return []
    header = ("", "rows", "median", "p90", "median, left out", "p90, left out")
    parts = []
    for title, about, by in (
        ("## By machine", "Rows belong to a machine, not to a platform: each is predicted with the file that names its "
         "processor in `machines`, or else with its platform's.", machine_of),
        ("## By kind of model and client", "Who asks decides what is added to a call (`host.clients`).", kind_of),
    ):  # fmt: skip
        pairs = zip(grouped(scored, by), grouped(left_out, by), strict=True)
        lines = [
            (name, str(count), *(f"{share:.1%}" for share in (*both, *alone)))
            for (name, count, *both), (_, _, *alone) in pairs
        ]
        parts += [title, about, markdown_table(header, lines, left=1)]
    return [
        *parts,
        f"Over all {len(scored)} rows the median error is {median_error(scored):.1%}, and nine of ten are within "
        f"{p90_error(scored):.1%}. Where a row is predicted by values that were fitted without its model (*left out*; "
        'see "What was fitted"; of models that no fit has seen, as it is), the median error is '
        f"{median_error(left_out):.1%}, and nine of ten are within {p90_error(left_out):.1%}.",
    ]


def contradictions(found: Sequence[Scored]) -> list[str]:
    """The rows that do not go together with others of their machine."""
    rows = [one for one in found if one.row.use == "contradicts"]
    lines = [
        (
            one.row.workload, str(one.row.tokens or ""), str(one.row.batch), one.row.device, one.row.shows,
            f"{one.row.measured_us:,.0f}", f"{one.predicted_us:,.0f}", f"{one.error:+.1%}",
        )
        for one in rows
    ]  # fmt: skip
    header = ("model", "tokens", "batch", "measured on", "what", "measured µs", "npusim µs", "error")
    about = (
        "Rows that no one machine explains together with the others measured on it; they are in no median."
    )
    return ["## What measurements contradict", about, markdown_table(header, lines, left=5)] if rows else []


def interval_section(rows: Sequence[Residual]) -> list[str]:
    """What the bands of answers cover, of models whose own rows were left out."""
    if not rows:
        return []
    lines = [(name, str(count), f"{share:.0%}") for name, (count, share) in coverage(rows).items()]
    return [
        "## Error bars",
        "Every answer has a band that is to hold for 80 % of models and machines like it, by what bounds the answer "
        "(host, memory or the rest) and by whether its machine was measured or only others of its platform were. It "
        "is conformal: read off these rows' errors (`data/measured/residuals.csv`), not off any belief. Below, every "
        "row is judged by the rows of all other models.",
        markdown_table(("answers", "rows", "within the band"), lines, left=1),
    ]
