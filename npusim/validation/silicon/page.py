"""docs/accuracy.md: how far npusim is from real NPUs, written from figures that the package carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from math import isnan
from typing import Any

from npusim.hardware import names_of
from npusim.validation.schedules.page import markdown_table
from npusim.validation.silicon.groups import contradictions, group_sections, interval_section
from npusim.validation.silicon.intervals import Residual
from npusim.validation.silicon.left_out import left_out, taken
from npusim.validation.silicon.llm import Heard
from npusim.validation.silicon.llm_page import language_models
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
from npusim.validation.silicon.tasks import TaskScore


def accuracy_page(
    rows: Sequence[Scored],
    bottlenecks: Sequence[Bottleneck],
    tasks: Sequence[TaskScore],
    calibrations: Sequence[Mapping[str, Any]],
    command: str,
    spoken: Sequence[Heard] = (),
    residuals: Sequence[Residual] = (),
) -> str:
    """The page as Markdown, of all rows that are predicted; ``command`` is what writes it again, ``residuals`` are what
    error bars are read off.

    ``calibrations`` are documents of ``npusim calibrate --json``. What there is no row of is left out.
    """
    scored = [one for one in rows if one.row.use == "score"]
    parts = [
        "# How far npusim is from real NPUs",
        f"Written by `{command}`: every number on this page comes from that run over figures that others measured and "
        "published ([where from](../npusim/validation/data/measured/README.md)). npusim simulates the file of the "
        "machine that was measured, or of its platform, with the number of tiles and of inferences in flight that "
        "OpenVINO's performance hints ask for, and for the client that asked. The vendor's estimate is what Intel's "
        "compiler says of the same model; it has no contention, no host, and one inference at a time.",
        "An error is predicted / measured - 1; medians are of its absolute value.",
        *_medians(scored),
        *group_sections(scored, left_out(scored, calibrations)),
        *interval_section(residuals),
        *contradictions(rows),
        *_ratios(
            "## INT8 over FP16",
            "How much faster the quantised network is. What a quantised detector loses on a 288V is explained by "
            'nothing that was tried: not by the quantiser\'s scope, nor by a term a stage ("What was fitted"). The '
            "same release runs other quantised detectors slower there than on the NPU before it; the band of "
            "8-bit models on that platform is as wide as that.",
            precision_speedups(scored),
        ),
        *_ratios(
            "## Lunar Lake over Meteor Lake", "How much faster the newer NPU is.", platform_speedups(scored)
        ),
        *_ratios(
            "## Larger networks",
            "How many ms longer than the smallest of its family a network takes, measured by a Python harness that "
            "adds the same few ms to all.",
            size_steps(rows),
        ),
        *_operators([one for one in rows if one.row.use == "trend"], bottlenecks),
        *_calibrations(calibrations),
        *_tasks(tasks),
        *language_models(spoken),
        *_every_row(scored),
        *_shows(rows),
    ]
    return "\n\n".join(parts) + "\n"


def _medians(rows: Sequence[Scored]) -> list[str]:
    if not rows:
        return []

    def place(one: Scored) -> tuple[str, str, str]:
        return one.row.platform, one.row.precision, one.row.metric

    groups = [(key, list(members)) for key, members in groupby(sorted(rows, key=place), place)]
    lines = [(_platform(key[0]), *key[1:], *_figures(members)) for key, members in groups]
    header = (
        "platform",
        "precision",
        "metric",
        "rows",
        "npusim",
        "rows with an estimate",
        "npusim",
        "vendor",
    )
    return [
        "## Networks: median error",
        "The last three columns are over the rows that the vendor's estimate is known of, so that both are judged by "
        "the same rows.",
        markdown_table(header, [*lines, ("all", "", "", *_figures(rows))], left=3),
    ]


def _figures(rows: Sequence[Scored]) -> tuple[str, ...]:
    both = [one for one in rows if one.vendor_us is not None]
    shares = (_share(median_error(both)), _share(vendor_median_error(both)))
    return (str(len(rows)), _share(median_error(rows)), str(len(both)), *shares)


def _ratios(title: str, about: str, ratios: Sequence[Ratio]) -> list[str]:
    if not ratios:
        return []
    within = sum(abs(one.error) <= 0.15 for one in ratios)
    lines = [
        (_cell(one.what), f"{one.measured:.2f}", f"{one.predicted:.2f}", f"{one.error:+.1%}")
        for one in ratios
    ]
    return [
        title,
        f"{about} {within} of {len(ratios)} are within 15 %.",
        markdown_table(("rows", "measured", "npusim", "error"), lines, left=1),
    ]


def _operators(rows: Sequence[Scored], bottlenecks: Sequence[Bottleneck]) -> list[str]:
    parts = []
    if rows:
        lines = []
        for name in sorted({one.row.workload for one in rows}):
            members = [one for one in rows if one.row.workload == name]
            tokens = sorted(one.row.tokens or 0 for one in members)
            span = f"{tokens[0]} to {tokens[-1]}"
            ratios = [one.predicted_us / one.row.measured_us for one in members]
            lines.append(
                (
                    name,
                    span,
                    str(len(members)),
                    _number(rank(members)),
                    f"{min(ratios):.3g} to {max(ratios):.3g}",
                )
            )
        header = ("operator", "tokens", "rows", "rank correlation", "npusim / measured")
        parts += [
            "## Operators: order",
            "Causal operators over contexts of many lengths, measured once each: good for order, not for absolute "
            f"times. Over all {len(rows)} rows the rank correlation is {_number(rank(rows))}.",
            markdown_table(header, lines, left=1),
        ]
    if bottlenecks:
        right = sum(one.right for one in bottlenecks)
        table = [
            (
                one.shares.workload, str(one.shares.tokens), one.shares.bottleneck, one.predicted,
                "yes" if one.right else "no",
            )
            for one in bottlenecks
        ]  # fmt: skip
        parts += [
            "## Operators: what binds them",
            f"The engine that is busy longest is right for {right} of {len(bottlenecks)}.",
            markdown_table(("operator", "tokens", "measured", "npusim", "right"), table, left=1),
        ]
    return parts


def _calibrations(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is known of the fitted values, and how networks are predicted that a fit has not seen."""
    parts = []
    for one in documents:
        error = one["median_error"]
        models = sorted({row["model"] for row in one["rows"]})
        values = [
            (
                f"`{value['path']}`", f"{value['value']:g}",
                "" if value["interval"] is None else "{:g} to {:g}".format(*value["interval"]), value["verdict"],
                ", ".join(f"`{path}`" for path in value["tied_to"]),
            )
            for value in one["parameters"]
        ]  # fmt: skip
        parts += [
            f"`{one['command']}`",
            f"{len(one['rows'])} rows of {', '.join(models)}: median error {_percent(error['fitted'])}, and "
            f"{_percent(error['left_out'])} where every network is left out of the fit that predicts it (the file as "
            f"it stood then: {_percent(error['base'])}{_by_machine(error)}).",
            markdown_table(("value", "fitted", "95 % interval", "", "tied to"), values, left=1),
            *([] if taken(one) else ["Tried and not taken: the rows do not tell all of these values."]),
        ]
    title = (
        "Values of the silicon files that were fitted to these rows, by commands whose outcome is kept beside them "
        "(`data/measured/calibration-*.json`)."
    )
    return ["## What was fitted", title, *parts] if parts else []


def _by_machine(error: Mapping[str, float | None]) -> str:
    """What is left where a machine is left out of the fit that predicts it; nothing where there is but one."""
    left = error.get("machine_out")
    return "" if left is None else f"; every machine left out: {_percent(left)}"


def _tasks(scores: Sequence[TaskScore]) -> list[str]:
    if not scores:
        return []
    stale = [] if all(one.current for one in scores) else [
        "The silicon files have other costs by now: run that command again."
    ]  # fmt: skip
    return [
        "## Single tasks",
        "Against the reference cycles in the regression tests of Intel's cost model, most likely profiled on silicon "
        "(`python -m benchmarks.fit.tasks --tables DIR --write`; the tables themselves are Intel's). Rows "
        "are splits of few layers. The vendor's figure is that of its trained networks.",
        *stale,
        markdown_table(
            ("platform", "task", "rows", "npusim median", "p90", "vendor median"),
            [
                (
                    _platform(one.platform), one.kind, str(one.tasks), _share(one.median), _share(one.p90),
                    _share(one.vendor_median),
                )
                for one in sorted(scores, key=lambda one: (one.platform, one.kind))
            ],
            left=2,
        ),
    ]  # fmt: skip


def _every_row(rows: Sequence[Scored]) -> list[str]:
    if not rows:
        return []
    lines = []
    for one in rows:
        row = one.row
        about = (row.model, _platform(row.platform), row.precision, row.metric, row.grade)
        vendor = ("", "") if one.vendor_us is None else (f"{one.vendor_us:,.0f}", f"{one.vendor_error:+.1%}")
        lines.append(
            (
                *map(_cell, (*about, f"{row.device}, OpenVINO {row.openvino}")), f"{row.measured_us:,.0f}",
                f"{one.predicted_us:,.0f}", f"{one.error:+.1%}", *vendor,
            )
        )  # fmt: skip
    header = (
        "model", "platform", "precision", "metric", "grade", "measured on", "measured µs", "npusim µs", "error",
        "vendor µs", "error",
    )  # fmt: skip
    return ["## Every row", markdown_table(header, lines, left=6)]


def _shows(rows: Sequence[Scored]) -> list[str]:
    """What the rows of every source can and cannot show."""
    counts: dict[tuple[str, str, str], int] = {}
    for one in rows:
        key = (one.row.source, one.row.grade, one.row.shows)
        counts[key] = counts.get(key, 0) + 1
    if not counts:
        return []
    lines = [
        (_cell(source), grade, str(count), _cell(shows)) for (source, grade, shows), count in counts.items()
    ]
    return [
        "## What the rows can show",
        markdown_table(("source", "grade", "rows", "what they show"), sorted(lines), left=4),
    ]


def _platform(platform: str) -> str:
    names = ", ".join(name.removesuffix(" NPU") for name in names_of(platform))
    return f"{platform} ({names})" if names else platform


def _share(value: float) -> str:
    return "" if isnan(value) else f"{value:.1%}"


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"


def _number(value: float) -> str:
    return "" if isnan(value) else f"{value:.3f}"


def _cell(text: str) -> str:
    """Text that may stand in a table."""
    return " ".join(text.split())
