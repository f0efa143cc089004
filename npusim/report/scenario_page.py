"""The page of a scenario: its figures, the picture that answers the question, why, and every number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from npusim.report import scenario_figures as figures
from npusim.report.blocks import Block, card, command, number_column, plot, tab, text_column
from npusim.report.page import render
from npusim.report.units import time_text
from npusim.scenarios.answer import Answer, headline, table
from npusim.scenarios.budget import Budgeted
from npusim.scenarios.mix import Mixed
from npusim.scenarios.rows import Service
from npusim.scenarios.split import Parted
from npusim.scenarios.together import Company

#: Titles, units and digits of columns; what is not listed is shown as it is called, with two digits.
_COLUMNS = {
    "us": ("Latency", "µs", 1), "device_us": ("In the NPU", "µs", 1), "call_us": ("Call", "µs", 1),
    "gate_us": ("Gate", "µs", 1), "probability": ("Probability", "", 3), "break_even": ("Pays below", "", 3),
    "sent_bytes": ("Sent", "bytes", 0), "head_us": ("Here", "µs", 1), "far_us": ("There", "µs", 1),
    "link_us": ("Link", "µs", 1), "rtt_us": ("Round trip", "µs", 1), "p95_us": ("95 %", "µs", 1),
    "jitter_us": ("Jitter", "µs", 1), "energy_uj": ("Energy here", "µJ", 1), "bits": ("Bits", "", 0),
    "position": ("Position", "", 0), "tiles": ("Tiles", "", 0), "alone_us": ("Alone", "µs", 1),
    "period_us": ("Together", "µs", 1), "slowdown": ("Slower", "×", 3), "per_s": ("Rate", "1/s", 1),
    "limit_kib": ("Limit", "KiB", 0), "peak_kib": ("Peak", "KiB", 1), "tasks": ("Tasks", "", 0),
    "ddr_bytes": ("DDR", "bytes", 0), "calls": ("Calls", "", 0), "rows": ("Rows", "", 0),
    "padding": ("Padding", "", 3), "busy": ("Busy", "", 3),
}  # fmt: skip


def scenario_page(one: Answer, command_text: str) -> str:
    """The page, as HTML text."""
    blocks: list[Block] = [
        {"kind": "cards", "items": _cards(one)},
        *pictures(one),
        {"kind": "table", "title": "Every number", "table": "rows", "file": f"{one.operator}.csv"},
        *command(command_text, ""),
    ]
    page = {
        "tabs": [tab("scenario", one.operator.capitalize(), *blocks)],
        "tables": {"rows": _table(table(one))},
    }
    return render(one.spec.name, f"on {one.hardware}: {headline(one)}", page)


def pictures(one: Answer) -> list[Block]:
    """The plots of an answer, the one that answers the question first."""
    match one.found:
        case Mixed() as mixed:
            return [
                plot("When it pays", figures.over_probability(mixed), "Skipping a part, or leaving early, saves what "
                     "does not run and costs calls: marks are where both are even.", "half"),
                plot("How long it takes", figures.distribution(mixed), "Every case, by its probability.", "half"),
            ]  # fmt: skip
        case Parted() as parted:
            assert one.spec.split is not None
            gbps = one.spec.split.link.gbps
            return [
                plot("Where to cut", figures.over_bandwidth(parted, gbps), "The best cut at every bandwidth.", "half"),
                plot("Cuts and bits", figures.cuts_and_bits(parted), "Nothing is both smaller and faster than these.",
                     "half"),
            ]  # fmt: skip
        case Company() as company:
            return [
                plot("Who runs when", figures.gantt(company), "A bar an inference.", "half"),
                plot("What each loses", figures.slowdowns(company), "", "half"),
            ]
        case Service() as service:
            return [
                plot("How long users wait", figures.over_rate(service.rates), "From the arrival of a request.", "half"),
                plot("What is computed for nothing", figures.padding(service.rates),
                     "Calls are padded to the sizes that are compiled.", "half"),
            ]  # fmt: skip
        case Budgeted() as budgeted:
            return [
                plot(
                    "Time over memory",
                    figures.over_limit(budgeted.fits),
                    "Marks are limits that were simulated.",
                )
            ]


def _cards(one: Answer) -> list[dict[str, str]]:
    match one.found:
        case Mixed() as mixed:
            return [
                card(
                    "expected",
                    time_text(mixed.expected_us),
                    f"{mixed.gain:.2f} × as fast as the whole",
                    "main",
                ),
                card("median", time_text(mixed.quantile_us(0.5))),
                card("99 %", time_text(mixed.quantile_us(0.99))),
                card("the whole in one call", time_text(mixed.whole.us)),
            ]
        case Parted() as parted:
            best = parted.best
            return [
                card("best", time_text(best.us), f"{best.place}, {best.bits} bits", "main"),
                card("sent", f"{best.sent_bytes / 1e3:,.1f} kB"),
                card("all here", time_text(next(point.us for point in parted.points if point.last))),
                card("all far", time_text(min(point.us for point in parted.points if point.position == 0))),
            ]
        case Company() as company:
            return [
                card("together", f"{company.per_second:,.0f} 1/s", f"by {company.by}", "main"),
                *(card(each.name, f"{each.slowdown:.2f} ×", "as long as alone") for each in company.each),
            ]
        case Service() as service:
            most = service.most
            return [
                card(
                    "most",
                    f"{most.tokens_per_s:,.1f} tokens/s",
                    f"at {most.requests_per_s:g} requests/s",
                    "main",
                ),
                card("padding there", f"{100 * most.padding:.0f} %"),
                card("rows a call", f"{most.rows_a_call:.1f} rows"),
            ]
        case Budgeted() as budgeted:
            return [card(f"{each.limit_kib:,.0f} KiB", time_text(each.us)) for each in budgeted.fits[:6]]


def _table(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    columns = []
    for key in rows[0]:
        values = [row[key] for row in rows]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            title, unit, digits = _COLUMNS.get(key, (key.replace("_", " ").capitalize(), "", 2))
            columns.append(number_column(key, title, unit, values, digits))
        elif key != "last" and any(values):
            columns.append(text_column(key, key.capitalize(), values))
    return {"columns": columns}
